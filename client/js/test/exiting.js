/*
 * exiting: a host that ends, for test_process.js.
 *
 *     exiting.js SOCKET idle       has a store, does nothing, and lets the process end by itself
 *     exiting.js SOCKET pending    writes, and lets the process end by itself
 *     exiting.js SOCKET exit N     queues N deletes and exits at once
 */
import process from "node:process"
import { meta } from "./harness.js"
import { createDaemonStore } from "../src/index.js"

const [path, what, count] = process.argv.slice(2)
const store = await createDaemonStore({ path })
if (what === "pending") store.append("pending", meta())
if (what === "exit") {
  for (let i = 0; i < Number(count); i++) store.delete(`doc${i}`)
  process.exit(0)
}
