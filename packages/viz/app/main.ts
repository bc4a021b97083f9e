// Starts the page: documents that are embedded, then documents that the server offers, then what is dropped.

import { App } from "./app.ts";
import { readEmbedded } from "./documents/embedded.ts";
import { listenForKeys } from "./keys.ts";
import { acceptDrops } from "./ui/open.ts";
import "./style.css";

const app = new App(document.getElementById("app")!);
acceptDrops(app);
listenForKeys(app);
void start();

async function start(): Promise<void> {
  const { documents, problems, follow } = await readEmbedded();
  for (const { error, file } of problems) app.notices.problem(error, file);
  app.setDocuments(documents);
  follow?.(app);
}
