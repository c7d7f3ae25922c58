/**
 * What this process sends and its own clients get, too, once it comes back through PostgreSQL: in the order in which it
 * was sent.
 */

/** Whom to tell of the messages that a frame ends. */
interface Sent {
  /** They are in the log, where the first of them has this number. */
  logged(number: number): void;
  /** It is their turn. */
  deliver(number: number | undefined): void;
}

interface Waiting {
  readonly sequence: number;
  isLogged: boolean;
  number: number | undefined;
  readonly sent: Sent;
}

/** The frames that are under way. */
export class OwnMessages {
  #waiting: Waiting[] = [];
  #head = 0;
  /** The highest sequence number that came back: what was sent before has been notified. */
  #echoed = 0;
  /** Whether nothing of this process was heard since the connection was lost. */
  #isDeaf = false;

  /** How many are under way. */
  get length(): number {
    return this.#waiting.length - this.#head;
  }

  /** Nothing is heard from now on: what comes back meanwhile is missed, until something later comes. */
  interrupted(): void {
    this.#isDeaf = true;
  }

  /** Whether some may be in the log, and before what others have put there, and will be handed over later. */
  get isMissing(): boolean {
    const first = this.#waiting[this.#head];
    return first !== undefined && (this.#isDeaf || first.sequence <= this.#echoed);
  }

  /**
   * Messages are about to be sent.
   *
   * @param sequence The number of the frame that ends them.
   * @param isLogged Whether the log gives it a number.
   */
  add(sequence: number, isLogged: boolean, sent: Sent): void {
    this.#waiting.push({ sequence, isLogged, number: undefined, sent });
  }

  /** PostgreSQL has taken a frame, and put it into the log under this number. */
  logged(sequence: number, number: number): void {
    const waiting = this.#find(sequence);
    if (waiting !== undefined) {
      waiting.number = number;
      waiting.sent.logged(number);
    }
    this.#deliver();
  }

  /** A frame came back; it came on its own channel, so what does not come any more was missed while nothing was heard. */
  echoed(sequence: number, number: number | undefined): void {
    this.#isDeaf = false;
    this.#echoed = Math.max(this.#echoed, sequence);
    const waiting = this.#find(sequence);
    if (waiting !== undefined && number !== undefined) waiting.number = number;
    this.#deliver();
  }

  /** PostgreSQL has refused a frame for good: what it ends has its turn all the same, and is in no log. */
  refused(sequence: number): void {
    const waiting = this.#find(sequence);
    if (waiting !== undefined) waiting.isLogged = false;
    this.#deliver();
  }

  #find(sequence: number): Waiting | undefined {
    for (let at = this.#head; at < this.#waiting.length; at++) {
      const waiting = this.#waiting[at]!;
      if (waiting.sequence === sequence) return waiting;
      if (waiting.sequence > sequence) return undefined;
    }
    return undefined;
  }

  #deliver(): void {
    while (this.#head < this.#waiting.length) {
      const waiting = this.#waiting[this.#head]!;
      if (waiting.sequence > this.#echoed) break;
      // The answer to its statement says which.
      if (waiting.isLogged && waiting.number === undefined) break;
      this.#head++;
      waiting.sent.deliver(waiting.number);
    }
    if (this.#head * 2 <= this.#waiting.length) return;
    this.#waiting = this.#waiting.slice(this.#head);
    this.#head = 0;
  }
}
