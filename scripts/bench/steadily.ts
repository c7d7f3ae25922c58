/**
 * A steady stream.
 *
 * @module
 */

/**
 * Does something at a steady rate, as exactly as timers are.
 *
 * @param count How often.
 * @param rate How often a second.
 * @param send Called with the number of the call, from 0.
 */
export async function steadily(
  count: number,
  rate: number,
  send: (n: number) => void,
): Promise<void> {
  const start = performance.now();
  for (let sent = 0; sent < count;) {
    const due = Math.min(count, Math.floor((performance.now() - start) * rate / 1_000));
    while (sent < due) send(sent++);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
