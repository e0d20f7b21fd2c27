// Questions to machines, as MQTT 5 has them: a request names the topic where the answer is expected, and carries data
// by which the asker knows the answer.

const PATIENCE_MS = 5_000;

export class Requests {
  /** Where this page wants its answers; no other page has the same. */
  topic = `plant/answers/page-${crypto.getRandomValues(new Uint32Array(2)).join("-")}`;
  #publish;
  #waiting = new Map();
  #next = 1;

  constructor(publish) {
    this.#publish = publish;
  }

  /** Asks and resolves with what to show. */
  async ask(machine, request) {
    const correlation_base64 = btoa(`question ${this.#next++}`);
    const asked = performance.now();
    const answered = new Promise((resolve) => {
      this.#waiting.set(correlation_base64, resolve);
      setTimeout(resolve, PATIENCE_MS);
    });
    try {
      await this.#publish(`plant/${machine}/request`, request, { response_topic: this.topic, correlation_base64 });
      const answer = await answered;
      if (!answer) return "no answer";
      const after = `after ${Math.max(1, Math.round(performance.now() - asked))} ms`;
      return answer.ok ? `${answer.speed}/s, says ${answer.machine} ${after}` : `refused ${after}: ${answer.reason}`;
    } catch (fault) {
      return fault.message;
    } finally {
      this.#waiting.delete(correlation_base64);
    }
  }

  take({ data, correlation_base64 }) {
    this.#waiting.get(correlation_base64)?.(data);
  }
}
