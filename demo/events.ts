/** The runtimes that take part, in the order in which the page shows them. */
export const SERVERS = ["deno", "bun", "node"] as const;

/** One of the three servers. */
export type ServerId = typeof SERVERS[number];

/** What the page shows as one line of conversation. A NOTIFY by hand may carry no more than `text`. */
export interface ChatMessage {
  text: string;
  /** Who sent it, and the server that took it from them. */
  from?: { client: string; server: ServerId };
  /** The room it was sent to; none when it was sent to everyone. */
  room?: string;
  /** When the sender's server emitted it, by that server's clock, in milliseconds. */
  sentAt?: number;
}

/** How a broadcast with acknowledgements ended. */
export interface Sent {
  /** The message's `sentAt`. */
  sentAt: number;
  /** Clients that answered, over all servers. */
  answers: number;
  /** From emit to the last answer, by the sender's server alone. */
  roundTripMs: number;
  /** Why fewer answered than were asked. */
  error?: string;
}

/** What a server tells its own clients about itself. */
export interface Status {
  uid: string;
  /** Servers in the cluster as this one sees it, itself included. */
  servers: number;
  clients: { id: string; name: string; rooms: string[] }[];
  /** Whether the adapter's connections to PostgreSQL work. */
  isLinked: boolean;
  /** Frames to and from PostgreSQL, heartbeats included. */
  published: number;
  received: number;
}

/** What the servers send. */
export interface ServerToClient {
  chat: (message: ChatMessage, answer: (name: string) => void) => void;
  /** When this server handed the `chat` that stands beside it to the client, by its clock. */
  handed: (at: number) => void;
  status: (status: Status) => void;
  /** What happened to the adapter: a fault and its end, or the uid of a server that came or went. */
  notice: (kind: "fault" | "back" | "up" | "down", text: string) => void;
}

/** What the page sends. */
export interface ClientToServer {
  send: (text: string, room: string | undefined, answer: (sent: Sent) => void) => void;
  join: (room: string, answer: (error?: string) => void) => void;
  leave: (room: string, answer: (error?: string) => void) => void;
}

/** The line by which a server tells the demo, on standard output, that it can be used. */
export interface Ready {
  ready: ServerId;
  version: string;
  port: number;
}
