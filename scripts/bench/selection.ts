/**
 * What of the benchmark is asked for.
 *
 * @module
 */

import { type Group, GROUPS } from "./groups.ts";
import { type Workload, WORKLOADS } from "./workloads.ts";

/** The group of emitters, which are no servers. */
export const EMITTERS = "emitters";

/** Groups with the workloads to measure in each, and whether emitters are measured. */
export interface Selection {
  readonly groups: ReadonlyMap<Group, readonly Workload[]>;
  readonly hasEmitters: boolean;
}

/**
 * Reads names of groups (`clients`), of workloads of a group (`clients/1KB`), and of workloads of the core group
 * (`1KB`); all groups if there are none.
 *
 * @throws {Error} If there is nothing of a name.
 */
export function selection(names: readonly string[]): Selection {
  const wanted = names.length === 0 ? [...GROUPS.keys(), EMITTERS] : names;
  const groups = new Map<Group, Workload[]>();
  for (const each of wanted.filter((name) => name !== EMITTERS)) {
    const [name = "", workload] = WORKLOADS.has(each) ? ["core", each] : each.split("/");
    const group = GROUPS.get(name);
    const found = (workload === undefined ? group?.workloads ?? [] : [workload])
      .map((name) => WORKLOADS.get(name));
    if (group === undefined || found.includes(undefined)) {
      throw new Error(`There is no "${each}": deno task bench --list says what there is`);
    }
    const list = groups.get(group) ?? [];
    list.push(...found.filter((one) => one !== undefined && !list.includes(one)) as Workload[]);
    groups.set(group, list);
  }
  return { groups, hasEmitters: wanted.includes(EMITTERS) };
}
