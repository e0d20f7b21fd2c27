/** As many requests as the hub takes in one frame. */
export const BATCH_MAX = 1000;

/** A frame that holds more characters than that is one that came alone. */
export const BATCH_CHARS_MAX = 65_536;

/** Takes from the front of `texts` what goes in one frame: one of them as it is, or several as an array. */
export function takeBatch(texts: string[], charsMax = BATCH_CHARS_MAX): string {
  let count = 0;
  let chars = 0;
  do chars += texts[count++]!.length + 1;
  while (count < texts.length && count < BATCH_MAX && chars + texts[count]!.length < charsMax);
  const batch = texts.splice(0, count).join();
  return count > 1 ? `[${batch}]` : batch;
}
