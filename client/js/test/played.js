/* played: a store whose daemon the test plays (wire.js), up to the answered hello and down to the answered close. */
import { equal, test } from "./harness.js"
import { PlayedDaemon } from "./wire.js"
import { createDaemonStore } from "../src/index.js"

export const APPEND = 1
export const LOAD_ALL = 2
export const REPLACE = 3
export const DELETE = 4
export const CURRENT_META = 5
export const CLOSE = 7
export const RESUME = 11

export const FAST = { baseDelay: 1, maxDelay: 5 }

/** A store, done with hello. */
export async function connected(played, options = {}, hello = {}) {
  const opening = createDaemonStore({ path: played.socket, settle: "done", reconnect: FAST, onState: () => undefined, ...options })
  const connection = await played.accept()
  const request = await connection.hello(hello)
  const store = await opening
  return { store, connection, session: request[8] }
}

export function play(name, run) {
  test(name, () => PlayedDaemon.run(run))
}

/** The operations and documents of requests. */
export const asked = requests => requests.map(([, op, doc]) => (typeof doc === "string" ? `${op} ${doc}` : `${op}`))

export const done = (...ids) => ids.map(id => [id, 0, [1, 1], false])

/** Ends what is open: the daemon answers close. */
export async function finish(store, connection) {
  const closing = store.close()
  const [id, op] = await connection.next()
  equal(op, CLOSE)
  connection.send([id, 0])
  await closing
}
