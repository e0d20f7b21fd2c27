"""aiomqtt against the hub: the same protocol through an asynchronous client."""

import asyncio

import aiomqtt

from rig import HOST, equal, main

COUNT = 200


def client(hub, **arguments):
    return aiomqtt.Client(HOST, hub.tcp, protocol=aiomqtt.ProtocolVersion.V5, **arguments)


async def take(messages, count):
    """The payloads of the next messages."""
    return [(await anext(messages)).payload for _ in range(count)]


async def qos2_both_ways(hub):
    """Two clients that publish to each other at QoS 2 at the same time."""
    expected = [b"%d" % number for number in range(COUNT)]
    async with client(hub) as one, client(hub) as two:
        await one.subscribe("to/one", qos=2)
        await two.subscribe("to/two", qos=2)

        async def publish(source, topic):
            for payload in expected:
                await source.publish(topic, payload, qos=2)

        _, _, at_one, at_two = await asyncio.gather(
            publish(one, "to/two"), publish(two, "to/one"), take(one.messages, COUNT), take(two.messages, COUNT)
        )
        equal(at_one, expected)
        equal(at_two, expected)


async def many_subscribers(hub):
    """Fifty clients that all hear the same, each at its own QoS."""
    names = [f"listener{number}" for number in range(50)]
    ready = asyncio.Semaphore(0)

    async def listen(number):
        async with client(hub, identifier=names[number]) as one:
            await one.subscribe("news/#", qos=number % 3)
            ready.release()
            return await take(one.messages, 20)

    async with client(hub) as publisher, asyncio.TaskGroup() as group:
        listeners = [group.create_task(listen(number)) for number in range(len(names))]
        for _ in names:
            await ready.acquire()
        for number in range(20):
            await publisher.publish(f"news/{number}", b"%d" % number, qos=2)
    for listener in listeners:
        equal(listener.result(), [b"%d" % number for number in range(20)])


async def will_and_retained(hub):
    """A retained state that the will overwrites: the usual way to show who is there."""
    will = aiomqtt.Will("state/device", b"away", qos=1, retain=True)
    async with client(hub) as watch:
        await watch.subscribe("state/+", qos=1)
        try:
            async with client(hub, will=will) as device:
                await device.publish("state/device", b"there", qos=1, retain=True)
                equal(await take(watch.messages, 1), [b"there"])
                device._client.socket().shutdown(2)
                # The client notices when it next uses the connection.
                async for _ in device.messages:
                    pass
        except aiomqtt.MqttError:
            pass
        equal(await take(watch.messages, 1), [b"away"])
        async with client(hub) as late:
            await late.subscribe("state/+", qos=1)
            message = await anext(late.messages)
            equal((message.payload, message.retain), (b"away", True))


if __name__ == "__main__":
    main(globals())
