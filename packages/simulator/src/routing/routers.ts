// All routers. Adding one: a file like its neighbours and a row here.

import { createLeastKv } from "./least-kv.ts";
import { createLeastOutstanding } from "./least-outstanding.ts";
import { createPrefixAware } from "./prefix-aware.ts";
import { createRandom } from "./random.ts";
import { createRoundRobin } from "./round-robin.ts";
import type { CreateRouter } from "./router.ts";

export type RouterName = "round-robin" | "random" | "least-outstanding" | "least-kv" | "prefix-aware";

export interface RouterRow {
  readonly summary: string;
  /** Whether it looks at replicas at all. */
  readonly readsSignals: boolean;
  readonly create: CreateRouter;
}

export const ROUTERS: Readonly<Record<RouterName, RouterRow>> = {
  "round-robin": { summary: "one after the other", readsSignals: false, create: createRoundRobin },
  random: { summary: "any replica, by the seed", readsSignals: false, create: createRandom },
  "least-outstanding": {
    summary: "fewest requests that wait or run",
    readsSignals: true,
    create: createLeastOutstanding,
  },
  "least-kv": { summary: "emptiest KV cache", readsSignals: true, create: createLeastKv },
  "prefix-aware": {
    summary: "longest cached prefix while loads are even",
    readsSignals: true,
    create: createPrefixAware,
  },
};
