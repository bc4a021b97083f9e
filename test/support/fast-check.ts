// Seeds of all properties: a fixed one in continuous integration, so that a change is judged by what it changes, and new
// ones every time elsewhere. ISOCHRON_SEED sets it anywhere. A failure prints the seed that repeats it.

import fc from "fast-check";

const seed = process.env["ISOCHRON_SEED"] ?? (process.env["CI"] === undefined ? undefined : "20261120");
if (seed !== undefined) fc.configureGlobal({ seed: Number(seed) });
