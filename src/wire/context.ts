/** What travels of a trace with a message: the fields of a propagator, such as `traceparent` of W3C Trace Context. */

/** Names and values, as in `{ traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" }`. */
export type TraceContext = Readonly<Record<string, string>>;

/** How many fields there are at most: W3C Trace Context and Baggage have three. */
export const MAX_CONTEXT_FIELDS = 8;

/** How many characters their names and values have at most, together. */
export const MAX_CONTEXT_LENGTH = 2_000;
