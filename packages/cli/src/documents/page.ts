// Writes documents as one self-contained page of the viewer.

import type { ViewerBundle } from "@isochron/simulator";
import { renderPage } from "@isochron/viz";
import { writeWhole } from "./write.ts";

export function writePage(path: string, bundle: ViewerBundle): void {
  writeWhole(path, renderPage(bundle));
}
