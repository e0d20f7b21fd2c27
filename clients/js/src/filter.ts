/** Whether a topic filter (with `+`, `#`, or `$share/GROUP/…`) takes a topic, by the rules of MQTT 5.0 section 4.7. */
export function matches(filter: string, topic: string): boolean {
  const wanted = filter.split("/");
  if (wanted[0] === "$share") wanted.splice(0, 2);
  const levels = topic.split("/");
  // A wildcard in front does not reach the topics that servers keep for themselves [MQTT-4.7.2-1].
  if (topic[0] === "$" && (wanted[0] === "#" || wanted[0] === "+")) return false;
  for (let i = 0; i < wanted.length; i++) {
    if (wanted[i] === "#") return true;
    if (i >= levels.length || (wanted[i] !== "+" && wanted[i] !== levels[i])) return false;
    // `a/#` also takes `a` itself.
    if (i === levels.length - 1 && wanted[i + 1] === "#") return true;
  }
  return wanted.length === levels.length;
}
