// Builds the addon where a CUDA toolkit is found. Never fails an install and never uses the network: elsewhere, or where
// the build breaks, it says in one line that the GPU executor is off and how to turn it on.

import { spawnSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const say = (text) => console.log(`@isochron/cuda-executor: ${text}`);
const off = (why) => say(`GPU executor off (${why}); everything else works. Turn it on: ${turnOn}`);
const turnOn =
  "CUDA toolkit ≥ 12 with nvcc, cmake ≥ 3.24 and a C++ compiler, then `npm rebuild @isochron/cuda-executor`";

function find(program, folders = []) {
  const places = [...(process.env.PATH ?? "").split(delimiter), ...folders].filter(Boolean);
  const name = process.platform === "win32" ? `${program}.exe` : program;
  return places.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

function build() {
  if (process.env.ISOCHRON_SKIP_CUDA_BUILD) return off("ISOCHRON_SKIP_CUDA_BUILD is set");
  if (!existsSync(join(root, "native", "addon"))) return off("no addon sources in this package");
  const homes = [process.env.CUDA_HOME ?? process.env.CUDA_PATH ?? "/usr/local/cuda"];
  const nvcc = find(
    "nvcc",
    homes.map((home) => join(home, "bin")),
  );
  if (!nvcc) return off("no CUDA toolkit found");
  if (!find("cmake")) return off("no cmake found");
  let cmakeJs;
  try {
    cmakeJs = createRequire(import.meta.url).resolve("cmake-js/bin/cmake-js");
  } catch {
    return off("cmake-js is not installed");
  }
  const environment = {
    ...process.env,
    CUDACXX: nvcc,
    ISOCHRON_CUDA_ARCH: process.env.ISOCHRON_CUDA_ARCH ?? architecture(),
  };
  const result = spawnSync(process.execPath, [cmakeJs, "build"], { cwd: root, env: environment, encoding: "utf8" });
  if (result.status === 0) return say("GPU executor built");
  const log = join(root, "build-error.log");
  try {
    writeFileSync(log, `${result.stdout ?? ""}\n${result.stderr ?? ""}\n${result.error ?? ""}`);
  } catch {
    return off("the build failed");
  }
  return off(`the build failed: see ${log}`);
}

/** The machine's own GPU; without one Hopper alone, so that an install takes seconds and not minutes. */
function architecture() {
  const smi = find("nvidia-smi");
  const result = smi
    ? spawnSync(smi, ["--query-gpu=compute_cap", "--format=csv,noheader"], { encoding: "utf8", timeout: 20_000 })
    : undefined;
  const capability = /^(\d+)\.(\d)/.exec(result?.stdout ?? "");
  const number = capability ? `${capability[1]}${capability[2]}` : "90";
  return number === "90" ? "90a-real" : `${number}-real`;
}

try {
  build();
} catch (error) {
  off(error instanceof Error ? error.message : String(error));
}
