// Starts the page: documents that are embedded, then documents that the server offers, then what is dropped. The same script
// is also the worker that reads large files.

import { App } from "./app.ts";
import { readEmbedded } from "./documents/embedded.ts";
import { serveAsWorker } from "./documents/large.ts";
import { listenForKeys } from "./keys.ts";
import { acceptDrops } from "./ui/open.ts";
import "./style/tokens.css";
import "./style/base.css";
import "./style/frame.css";
import "./style/summary.css";
import "./style/lanes.css";
import "./style/side.css";
import "./style/replay.css";
import "./style/sweep.css";
import "./style/compare.css";
import "./style/plan.css";
import "./style/floating.css";
import "./style/narrow.css";

if (typeof document === "undefined") serveAsWorker();
else void start(new App(document.getElementById("app")!));

async function start(app: App): Promise<void> {
  acceptDrops(app);
  listenForKeys(app);
  const { documents, problems, follow } = await readEmbedded(app);
  for (const { error, file } of problems) app.notices.problem(error, file);
  app.setDocuments(documents);
  follow?.(app);
}
