//! paho-mqtt, aiomqtt, websockets, urllib, mqtt-sn-12 and mqttsn. What each scenario does is in the file of its name under `tests/python`.

macro_rules! scenarios {
    ($module:ident, $file:literal: $($scenario:ident)*) => {
        mod $module {
            use trefoil_tests::{Hub, python};

            $(#[test]
            fn $scenario() {
                python($file, stringify!($scenario), &Hub::start());
            })*

            #[test]
            fn every_scenario_of_the_file_is_run() {
                let text = include_str!(concat!("../../python/", $file, ".py"));
                let found = text.lines().filter_map(|line| {
                    let line = line.strip_prefix("async ").unwrap_or(line);
                    line.strip_prefix("def ")?.strip_suffix("(hub):")
                });
                assert_eq!(found.collect::<Vec<_>>(), [$(stringify!($scenario)),*]);
            }
        }
    };
}

scenarios! { paho, "paho_scenarios":
    every_qos_and_version qos2_both_ways wildcards_and_unsubscribe persistent_session resend_after_reconnect
    take_over session_expiry message_expiry will will_delay request_response message_properties topic_alias
    receive_maximum subscription_identifiers retained retain_handling no_local retain_as_published
    shared_subscription maximum_packet_size assigned_client_id reason_codes over_websocket
}

scenarios! { aiomqtt, "aiomqtt_scenarios":
    qos2_both_ways many_subscribers will_and_retained
}

scenarios! { mqtt_sn, "mqtt_sn_scenarios":
    finding_the_gateway publishing_at_every_qos publishing_without_a_connection
    subscribing_by_name_wildcard_and_short_name sleeping_and_waking a_session_that_is_kept a_will_that_is_changed
    what_is_refused the_client_of_rsmb
}

scenarios! { channel, "channel_scenarios":
    long_polling events
}

scenarios! { websockets, "websockets_scenarios":
    publish_and_subscribe properties_travel retained errors fragments_and_pings large_messages compression_offered
    compression_with_every_window compressed_bombs binary_frames batches request_and_response not_json subprotocols
    unknown_path same_port_as_mqtt goodbye
}
