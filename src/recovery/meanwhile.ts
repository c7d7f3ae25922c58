/** What happens while something is under way, for as long as it may matter to what was under way already. */

/** Something that is under way. */
export interface Began {
  /** How much had happened before. */
  readonly at: number;
}

/** Remembers what happens meanwhile. */
export class Meanwhile<T> {
  #happened: T[] = [];
  /** How much happened before what is remembered. */
  #forgotten = 0;
  /** What is under way, in the order in which it began. */
  readonly #underWay: Set<Began> = new Set();

  /** How much is remembered. */
  get length(): number {
    return this.#happened.length;
  }

  /** Something begins. */
  begin(): Began {
    const began: Began = { at: this.#forgotten + this.#happened.length };
    this.#underWay.add(began);
    return began;
  }

  /** Something happens: it is remembered if anything is under way. */
  add(what: T): void {
    if (this.#underWay.size > 0) this.#happened.push(what);
  }

  /** What has happened since something began. */
  since({ at }: Began): T[] {
    return this.#happened.slice(at - this.#forgotten);
  }

  /** Something is not under way any more: what only it could ask for is forgotten. */
  end(began: Began): void {
    this.#underWay.delete(began);
    const [oldest] = this.#underWay;
    const unused = oldest === undefined ? this.#happened.length : oldest.at - this.#forgotten;
    // Not with each one: what stays is copied.
    if (unused * 2 < this.#happened.length) return;
    this.#happened = this.#happened.slice(unused);
    this.#forgotten += unused;
  }
}
