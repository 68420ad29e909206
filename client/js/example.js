/*
 * example: the documents of a store, read as an Exchange reads them. daemon/quickstart ends with it.
 *
 *     KYNETA_STORE_SOCKET=/path/of/socket node client/js/example.js
 */
import { createDaemonStore } from "./src/index.js"

const store = await createDaemonStore({ access: "read-only" })
for await (const id of store.listDocIds()) {
  const meta = await store.currentMeta(id)
  let entries = 0
  let latest = ""
  for await (const record of store.loadAll(id)) {
    if (record.kind !== "entry") continue
    entries++
    latest = record.version
  }
  console.log(`${JSON.stringify(id)}: ${meta.replicaType.join(" ")}, ${entries} entries, the last ${JSON.stringify(latest)}`)
}
await store.close()
