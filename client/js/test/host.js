/*
 * host: a host that works without pause, for test_restart.js.
 *
 *     host.js SOCKET NUMBER SETTLE
 *
 * It appends to documents of its own and to one that all hosts share, many calls in flight, compacts one, deletes and
 * makes another anew, and reads what it wrote. It does nothing about a daemon that is killed: that is the store's part.
 * Each line on stdin asks for so many more rounds, and is answered with a line when they are done; the end of stdin is
 * the end: what it did goes to stdout as JSON.
 */
import process from "node:process"
import readline from "node:readline"
import { collect, equal, meta, text } from "./harness.js"
import { createDaemonStore } from "../src/index.js"

const [socket, number, settle] = process.argv.slice(2)
const failures = []
const store = await createDaemonStore({
  path: socket,
  settle: /** @type {any} */ (settle),
  reconnect: { baseDelay: 5, maxDelay: 50 },
  onError: error => failures.push(error.message),
  onState: () => undefined,
})

const own = ["own", "compacted", "anew"].map(name => ({ id: `${name}/${number}`, base: 0, next: 0 }))
const shared = { id: "shared", base: 0, next: 0 }
const pending = new Set()

function watch(promise) {
  const watched = promise.catch(error => failures.push(error.stack))
  pending.add(watched)
  watched.then(() => pending.delete(watched))
}

function push(document) {
  watch(store.append(document.id, text(`${number}:${document.next++}`)))
}

const all = document =>
  Array.from({ length: document.next - document.base }, (_, i) => `${number}:${document.base + i}`)

function check(document) {
  const expected = all(document)
  watch(
    collect(store.loadAll(document.id)).then(records =>
      equal(records.filter(record => record.kind === "entry").map(record => record.version), expected),
    ),
  )
}

for (const document of own) watch(store.append(document.id, meta()))
watch(store.append(shared.id, meta()))

async function round(n) {
  for (const document of [...own, shared]) push(document)
  if (n % 10 === 3) for (const document of own) check(document)
  if (n % 25 === 7) {
    await Promise.all(pending)
    const [, compacted, anew] = own
    compacted.base = compacted.next
    watch(store.replace(compacted.id, [meta(), text("whole", `${number}:${compacted.next++}`, "entirety")]))
    anew.base = anew.next
    watch(store.delete(anew.id))
    watch(store.append(anew.id, meta()))
  }
  while (pending.size > 40) await Promise.race(pending)
}

let rounds = 0
for await (const line of readline.createInterface({ input: process.stdin })) {
  for (let left = Number(line); left > 0; left--) {
    await round(rounds++)
    // Others come to speak, as in a real host.
    if (left % 5 === 0) await store.flush()
  }
  process.stdout.write("done\n")
}
await Promise.all(pending)
await store.flush()
const status = store.status()
await store.close()
process.stdout.write(
  `${JSON.stringify({ failures, shared: shared.next, own: own.map(document => [document.id, all(document)]), status })}\n`,
)
process.exit(0)
