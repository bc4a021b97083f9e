// The traces that come with the command, by name.

import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { unknownName } from "./errors.ts";

interface BundledTrace {
  readonly file: string;
  readonly summary: string;
  readonly licence: string;
}

export const BUNDLED_TRACES: Readonly<Record<string, BundledTrace>> = {
  "azure-conv-2023": {
    file: "azure-2023/AzureLLMInferenceTrace_conv.csv.gz",
    summary: "Azure, conversations, one hour of November 2023",
    licence: "CC-BY-4.0",
  },
  "azure-code-2023": {
    file: "azure-2023/AzureLLMInferenceTrace_code.csv.gz",
    summary: "Azure, code completion, one hour of November 2023",
    licence: "CC-BY-4.0",
  },
  "mooncake-conversation": {
    file: "mooncake-fast25/conversation_trace.jsonl.gz",
    summary: "Kimi (Mooncake), conversations with prefix ids, one hour",
    licence: "Apache-2.0",
  },
};

/** In an installed package the traces lie inside it; in the repository they lie at its top. */
const FOLDERS = ["../traces/", "../../../traces/"].map((folder) => new URL(folder, import.meta.url));

/** The file behind a bundled name or a path, and the name to show. Throws InputError when there is neither. */
export function findTrace(nameOrPath: string): { readonly path: string; readonly name: string } {
  const bundled = Object.hasOwn(BUNDLED_TRACES, nameOrPath) ? BUNDLED_TRACES[nameOrPath] : undefined;
  if (bundled !== undefined) return { path: bundledPath(bundled.file), name: nameOrPath };
  // A bare word that is no file was meant as a name; anything that looks like a path is reported as a missing file.
  if (!existsSync(nameOrPath) && !/[./\\]/.test(nameOrPath)) {
    throw unknownName("unknown trace", nameOrPath, Object.keys(BUNDLED_TRACES));
  }
  return { path: nameOrPath, name: nameOrPath };
}

export function bundledPath(file: string): string {
  const candidates = FOLDERS.map((folder) => fileURLToPath(new URL(file, folder)));
  return candidates.find((path) => existsSync(path)) ?? candidates[0]!;
}
