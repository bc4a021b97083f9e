// Any replica, each as likely as the others.

import type { RandomStream } from "../random.ts";
import type { Router } from "./router.ts";

export function createRandom(random: RandomStream): Router {
  return { route: (replicas) => random.integer(replicas.length) };
}
