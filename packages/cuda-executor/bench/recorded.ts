// FlashInfer's recorded times of the same cases (data/flashinfer.csv; see data/NOTICE.md).

import { readFileSync } from "node:fs";

/** Kernels that run a whole batch of a section: what "best" chooses from. Names that end in `_` stand for all that begin so. */
const KERNELS: Readonly<Record<string, readonly string[]>> = {
  decode: ["fi_cuda", "fi_tc", "fi_holistic", "fi_xqa", "fi_cuda_cg", "fi_tc_cg", "fi_fa3"],
  prefill: ["fi_fa2_paged", "fi_fa3_paged", "fi_holistic"],
  mixed: ["2stream_", "sep_", "fi_"],
  shared_prefix: ["cascade_", "single_"],
};

/** Sections of the file that were taken as data/NOTICE.md says; others time single launches or repeat cases. */
const SECTIONS = ["decode", "mixed", "prefill", "prefix"];

/** The device of the recorded times. */
const RECORDED_DEVICE = "NVIDIA H100 80GB HBM3";

export function isRecordedDevice(device: string): boolean {
  return device === RECORDED_DEVICE;
}

/** Recorded times by "case|heads|pageSize", then by kernel; µs. */
export function readRecorded(path: string | URL): ReadonlyMap<string, ReadonlyMap<string, number>> {
  const [head, ...lines] = readFileSync(path, "utf8").trim().split("\n");
  const columns = head!.split(",");
  const column = (name: string): number => columns.indexOf(name);
  const at = {
    section: column("sec"),
    case: column("case"),
    kernel: column("kernel"),
    heads: column("heads"),
    ps: column("ps"),
    us: column("us"),
  };
  const bySetting = new Map<string, Map<string, number>>();
  for (const line of lines) {
    const cells = line.split(",");
    if (!SECTIONS.includes(cells[at.section]!)) continue;
    const key = `${cells[at.case]}|${cells[at.heads]}|${cells[at.ps]}`;
    const times = bySetting.get(key) ?? new Map<string, number>();
    times.set(cells[at.kernel]!, Number(cells[at.us]));
    bySetting.set(key, times);
  }
  return bySetting;
}

/** The fastest recorded kernel that runs all of a section's batch, in µs; undefined where there is none. */
export function bestOf(section: string, times: ReadonlyMap<string, number>): number | undefined {
  const names = KERNELS[section] ?? [];
  const runsAll = (kernel: string): boolean =>
    names.some((name) => (name.endsWith("_") ? kernel.startsWith(name) : kernel === name));
  const candidates = [...times].filter(([kernel]) => runsAll(kernel)).map(([, us]) => us);
  return candidates.length > 0 ? Math.min(...candidates) : undefined;
}
