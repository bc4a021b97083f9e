// The traces that come with Isochron, by name.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export interface BundledTrace {
  /** Below the traces folder. */
  readonly file: string;
  readonly summary: string;
  readonly license: string;
  readonly source: string;
}

export type BundledTraceName = "azure-conv-2023" | "azure-code-2023" | "mooncake-conversation";

export const BUNDLED_TRACES: Readonly<Record<BundledTraceName, BundledTrace>> = {
  "azure-conv-2023": {
    file: "azure-2023/AzureLLMInferenceTrace_conv.csv.gz",
    summary: "19,366 conversation requests of one hour of an Azure service, November 2023",
    license: "CC-BY-4.0",
    source: "https://github.com/Azure/AzurePublicDataset",
  },
  "azure-code-2023": {
    file: "azure-2023/AzureLLMInferenceTrace_code.csv.gz",
    summary: "8,819 code completion requests of one hour of an Azure service, November 2023; bursty",
    license: "CC-BY-4.0",
    source: "https://github.com/Azure/AzurePublicDataset",
  },
  "mooncake-conversation": {
    file: "mooncake-fast25/conversation_trace.jsonl.gz",
    summary:
      "12,031 long conversation requests of one hour of Kimi, with prefix identity; 3 s clock (spread its ticks)",
    license: "Apache-2.0",
    source: "https://github.com/kvcache-ai/Mooncake",
  },
};

/**
 * The folder of bundled traces: inside the package where it was packed with them, else of the repository.
 * Undefined when neither is there.
 */
export function tracesDirectory(): string | undefined {
  // Holds for src/trace/ and for dist/trace/ alike.
  const candidates = ["../../traces/", "../../../../traces/"].map((path) =>
    fileURLToPath(new URL(path, import.meta.url)),
  );
  return candidates.find((directory) => existsSync(directory));
}

/** File and name of a trace given by bundled name or by path. A path is not checked. */
export function findTrace(
  nameOrPath: string,
  directory: string | undefined = tracesDirectory(),
): { file: string; name?: string } {
  if (!Object.hasOwn(BUNDLED_TRACES, nameOrPath) || directory === undefined) return { file: nameOrPath };
  return { file: join(directory, BUNDLED_TRACES[nameOrPath as BundledTraceName].file), name: nameOrPath };
}
