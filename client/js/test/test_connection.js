/*
 * The promises of PROTOCOL.md's Sessions and Sending again, Order, and Endings, kept against a daemon that the test plays.
 */
import { Buffer } from "node:buffer"
import { bytes, collect, equal, main, meta, META, pause, refused, test, text, until } from "./harness.js"
import { APPEND, REPLACE, DELETE, CURRENT_META, CLOSE, FAST, connected, play, asked, done, finish } from "./played.js"
import { DRAINING_EVENT } from "./wire.js"
import { createDaemonStore } from "../src/index.js"
import { CACHE_CHARACTERS, CACHE_DOCUMENTS, Known, KnownDocuments } from "../src/identity.js"
import { Call, Queue } from "../src/queue.js"

/* ---- sending ---- */

play("hello says who, which store and how", async played => {
  const opening = createDaemonStore({
    path: played.socket,
    name: "test",
    tables: { docMeta: "a", records: "b", storeMeta: "c" },
    layout: 2,
    access: "exclusive",
  })
  const connection = await played.accept()
  const hello = await connection.hello()
  const session = hello.pop()
  equal(hello, [1, 0, "kyneta-store", 1, 1, "test", { meta: "a", records: "b", store: "c", layout: 2 }, 2])
  equal([session instanceof Uint8Array, session.length], [true, 16])
  const store = await opening
  equal([store.status().daemon, store.status().layout], ["played", 2])
  await finish(store, connection)
})

play("all frames of one microtask go out in one write", async played => {
  const { store, connection } = await connected(played, { settle: "sent" })
  const before = connection.pieces.length
  for (let i = 0; i < 100; i++) store.delete(`doc${i}`)
  await Promise.resolve().then(() => store.delete("another"))
  await connection.take(101)
  equal(connection.pieces.slice(before).reduce((sum, count) => sum + count), 101)
  equal(connection.pieces[before] >= 100, true)
})

play("never more unanswered than the daemon works on, and not too far ahead of a write", async played => {
  const { store, connection } = await connected(played, {}, { inFlight: 4 })
  const writes = Array.from({ length: 10 }, (_, i) => store.delete(`doc${i}`))
  const first = await connection.take(4)
  equal(first.map(([id]) => id), [2, 3, 4, 5])
  // The oldest write has no answer: the newest may be three ids ahead of it.
  connection.send(...done(3, 4, 5))
  await pause(20)
  equal(connection.requests, [])
  connection.send(...done(2))
  const second = await connection.take(4)
  equal(second.map(([id]) => id), [6, 7, 8, 9])
  connection.send(...done(6, 7, 8, 9))
  const third = await connection.take(2)
  connection.send(...done(...third.map(([id]) => id)))
  await Promise.all(writes)
  await finish(store, connection)
})

play("durability goes with each write", async played => {
  for (const [durability, code] of /** @type {[any, number][]} */ ([["committed", 0], ["synced", 1]])) {
    const { store, connection } = await connected(played, { durability })
    const writes = [store.append("a", text("1")), store.replace("a", [meta()]), store.delete("a")]
    const requests = await connection.take(3)
    equal(requests.map(request => request.slice(1)), [
      [APPEND, "a", [[1, 1, 0, "1", "1"]], code],
      [REPLACE, "a", [[0, JSON.stringify(META)]], code],
      [DELETE, "a", code],
    ])
    connection.send(...done(...requests.map(([id]) => id)))
    await Promise.all(writes)
    await finish(store, connection)
  }
})

/* ---- settle "sent" ---- */

play("sent: a document that is not known is asked for first; its answer settles the write", async played => {
  const { store, connection } = await connected(played, { settle: "sent" })
  let settled = 0
  const writes = [store.append("a", meta()), store.append("a", text("1")), store.append("a", text("2"))]
  for (const write of writes) write.then(() => settled++)
  const requests = await connection.take(4)
  equal(asked(requests), ["5 a", "1 a", "1 a", "1 a"])
  equal(settled, 0)
  connection.send([requests[0][0], 0, null, [1, 0]])
  await Promise.all(writes)
  // Known now: nothing is asked, nothing is waited for.
  await store.append("a", text("3"))
  await store.replace("a", [meta()])
  await store.delete("a")
  await store.append("a", meta({ replicaType: ["other", 1, 0] }))
  equal(asked(await connection.take(4)), ["1 a", "3 a", "4 a", "1 a"])
})

play("sent: what currentMeta has told is known, in both ways", async played => {
  const { store, connection } = await connected(played, { settle: "sent" })
  const reads = [store.currentMeta("new"), store.currentMeta("old")]
  const requests = await connection.take(2)
  connection.send([requests[0][0], 0, null, [1, 0]], [requests[1][0], 0, JSON.stringify(META), [1, 1]])
  equal(await Promise.all(reads), [null, META])
  await store.append("new", meta())
  await store.append("new", text("1"))
  await store.append("old", text("1"))
  equal(asked(await connection.take(3)), ["1 new", "1 new", "1 old"])
})

play("sent: what looks wrong waits for the daemon's own word", async played => {
  const { store, connection } = await connected(played, { settle: "sent" })
  const reading = store.currentMeta("a")
  const [[read]] = await connection.take(1)
  connection.send([read, 0, null, [1, 0]])
  await reading
  const refusedOne = store.append("a", text("1"))
  const takenOne = store.append("a", text("2"))
  const requests = await connection.take(2)
  equal(asked(requests), ["1 a", "1 a"])
  connection.send([requests[0][0], 200, "Store: first", 0], ...done(requests[1][0]))
  equal((await refused(refusedOne, "Store: first")).code, "entry_before_meta")
  await takenOne
})

play("sent: failures go to onError and the next flush, and the document waits for it", async played => {
  const errors = []
  const { store, connection } = await connected(played, { settle: "sent", onError: error => errors.push(error) })
  const reading = Promise.all(["a", "b"].map(id => store.currentMeta(id)))
  const reads = await connection.take(2)
  connection.send(...reads.map(([id]) => [id, 0, JSON.stringify(META), [1, 1]]))
  await reading
  await store.append("a", text("1"))
  await store.append("a", text("2"))
  await store.append("b", text("1"))
  const [one, two, other] = await connection.take(3)
  connection.send([one[0], 500, "no space left", 0], [two[0], 500, "latched", 0], ...done(other[0]))
  await until(() => errors.length === 2)
  equal(errors.map(({ code, docId, outcome }) => [code, docId, outcome]), [
    ["disk_full", "a", "not-applied"],
    ["disk_full", "a", "not-applied"],
  ])
  equal(store.status().failures, 2)
  // No hole: what comes later is refused, for this document only.
  equal((await refused(store.append("a", text("3")), /earlier write to the document failed: /)).code, "disk_full")
  const another = store.append("b", text("2"))
  connection.send(...done((await connection.next())[0]))
  await another
  const error = await refused(store.flush(), /^2 writes have failed; the first: no space left$/)
  equal(error.errors.length, 2)
  await store.flush()
  // Told: a resume goes in front.
  store.append("a", text("4"))
  const after = await connection.take(3)
  equal(asked(after), ["11", "5 a", "1 a"])
  connection.send([after[0][0], 0], [after[1][0], 0, JSON.stringify(META), [1, 1]], ...done(after[2][0]))
  await store.flush()
  await finish(store, connection)
})

test("sent: what is known is bounded in documents and in the length of their ids, and what is used stays", () => {
  for (const [length, kept] of [[10, CACHE_DOCUMENTS], [CACHE_CHARACTERS / 64, 64]]) {
    const known = new KnownDocuments()
    const id = i => String(i).padEnd(length)
    for (let i = 0; i < kept * 3; i++) {
      known.set(id(i), new Known(null))
      equal(known.get(id(0)) !== undefined, true)
      // Known again, or forgotten, it counts as before.
      if (i % 7 === 0) known.set(id(i), new Known(null))
      if (i % 11 === 1) known.forget(id(i))
    }
    equal([known.map.size <= kept, known.characters === known.map.size * length], [true, true])
    const last = Array.from({ length: kept / 2 }, (_, i) => kept * 3 - 1 - i).filter(i => i % 11 !== 1)
    equal([known.get(id(1)), last.every(i => known.get(id(i)) !== undefined)], [undefined, true])
  }
})

play("sent: a replace makes a document whole again", async played => {
  const { store, connection } = await connected(played, { settle: "sent", onError: () => undefined })
  store.delete("a")
  connection.send([(await connection.next())[0], 500, "full", 0])
  await until(() => store.status().failures === 1)
  await refused(store.append("a", meta()), /earlier write/)
  // Its document is not known any more, so it is asked for.
  const replacing = store.replace("a", [meta()])
  const requests = await connection.take(3)
  equal(asked(requests), ["11", "5 a", "3 a"])
  connection.send([requests[0][0], 0], [requests[1][0], 0, null, [1, 0]], ...done(requests[2][0]))
  await replacing
  store.append("a", text("1"))
  equal(asked(await connection.take(1)), ["1 a"])
})

play("sent: close tells of failures, and closes all the same", async played => {
  const { store, connection } = await connected(played, { settle: "sent", onError: () => undefined })
  store.delete("a")
  const closing = store.close()
  connection.send([(await connection.next())[0], 401, "not allowed", 0])
  const [id, op] = await connection.next()
  equal(op, CLOSE)
  connection.send([id, 0])
  equal((await refused(closing, "not allowed")).code, "denied")
  await store.close()
  equal(store.status().state, "closed")
})

/* ---- latches, settle "done" ---- */

play("done: after a failure from outside, what was called before fails, what is called after goes on", async played => {
  const { store, connection } = await connected(played)
  const writes = ["1", "2", "3"].map(version => store.append("a", text(version)))
  const first = await connection.take(3)
  connection.send([first[0][0], 500, "full", 0])
  await refused(writes[0], "full")
  const later = store.append("a", text("4"))
  const other = store.append("b", text("4"))
  const second = await connection.take(3)
  equal(asked(second), ["11", "1 a", "1 b"])
  connection.send([first[1][0], 500, "latched", 0], [first[2][0], 500, "latched", 0], [second[0][0], 0])
  connection.send(...done(second[1][0], second[2][0]))
  await refused(writes[1], "latched")
  await refused(writes[2], "latched")
  await Promise.all([later, other])
  await finish(store, connection)
})

play("a latch outlives the connection: what is above through is not sent", async played => {
  const { store, connection } = await connected(played)
  const writes = ["1", "2", "3", "4"].map(version => store.append("a", text(version)))
  const other = store.append("b", text("1"))
  const sent = await connection.take(5)
  for (const write of writes) write.catch(() => undefined) // looked at below
  connection.send([sent[0][0], 500, "full", 0])
  await refused(writes[0], "full")
  await connection.cut()
  const again = await played.accept()
  // The second may have been carried out: it is asked about.
  await again.hello({ through: sent[1][0] })
  const requests = await again.take(2)
  equal(requests.map(([id]) => id), [sent[1][0], sent[4][0]])
  again.send([requests[0][0], 500, "latched", 0], ...done(requests[1][0]))
  await refused(writes[1], "latched")
  equal((await refused(writes[2], /an earlier write to the document failed/)).outcome, "not-applied")
  await refused(writes[3], /an earlier write to the document failed/)
  await other
  await finish(store, again)
})

test("more latches than are kept latch everything behind the first of them, until a resume", () => {
  const queue = new Queue(/** @type {any} */ ({}))
  const call = (id, doc) => Object.assign(new Call(APPEND, doc), { id, epoch: queue.epoch })
  for (let id = 2; id < 4098; id++) queue.latch(call(id, `document ${id}`), 402, "no")
  equal(queue.latchOf(call(9000, "innocent")), undefined)
  for (let id = 4098; id < 6000; id++) queue.latch(call(id, `document ${id}`), 402, "no")
  equal(queue.latches.size, 4096)
  equal(queue.latchOf(call(9000, "innocent"))?.code, 402)
  equal(queue.latchOf(call(4097, "innocent")), undefined)
  equal(queue.isLatched("innocent"), true)
  queue.beginEpoch()
  equal(queue.latchOf(call(9001, "innocent")), undefined)
  equal(queue.isLatched("document 2"), false)
  queue.forgetOldLatches()
  equal([queue.anyLatched, queue.latches.size, queue.latchedLength], [false, 0, 0])
  queue.latch(call(9002, "x".repeat(2_000_000)), 402, "no")
  equal([queue.latches.size, queue.isLatched("innocent")], [0, true])
})

play("codes below 400 latch nothing", async played => {
  const { store, connection } = await connected(played)
  const writes = [store.append("a", text("1")), store.append("a", text("2"))]
  const sent = await connection.take(2)
  connection.send([sent[0][0], 200, "first", 0], ...done(sent[1][0]))
  await refused(writes[0], "first")
  await writes[1]
  const later = store.append("a", text("3"))
  const request = await connection.next()
  equal(request[1], APPEND)
  connection.send(...done(request[0]))
  await later
  await finish(store, connection)
})

/* ---- lost connections ---- */

play("everything unanswered is sent again under its id, in the same session", async played => {
  const { store, connection, session } = await connected(played)
  const results = [
    store.append("a", meta()),
    store.append("a", text("1")),
    store.currentMeta("a"),
    collect(store.loadAll("a")),
    collect(store.listDocIds()),
    store.delete("b"),
  ]
  const sent = await connection.take(6)
  connection.send(...done(sent[1][0]))
  await results[1]
  await connection.cut()
  for (let i = 0; i < 3; i++) await (await played.accept()).cut()
  const again = await played.accept()
  const hello = await again.hello({ through: sent[1][0] })
  equal(hello[8], session)
  const requests = await again.take(5)
  equal(requests, [sent[0], ...sent.slice(2)])
  again.send(
    [sent[0][0], 0, [1, 2], true],
    [sent[2][0], 0, JSON.stringify(META), [1, 2]],
    [sent[3][0], 0, [[0, JSON.stringify(META)]], [1, 2], null],
    [sent[4][0], 0, ["a"], null],
    ...done(sent[5][0]),
  )
  equal(await Promise.all(results), [undefined, undefined, META, [meta()], ["a"], undefined])
  const status = store.status()
  equal([status.connects, status.resent, status.duplicates], [2, 5, 1])
  await finish(store, again)
})

play("calls made while the daemon is away wait for it", async played => {
  const { store, connection } = await connected(played, { settle: "sent" })
  played.server.close()
  await connection.cut()
  await until(() => store.status().state === "connecting")
  store.delete("a")
  const reading = store.currentMeta("a")
  await pause(30)
  await played.listen()
  const again = await played.accept()
  await again.hello()
  const requests = await again.take(2)
  equal(asked(requests), ["4 a", "5 a"])
  again.send(...done(requests[0][0]), [requests[1][0], 0, null, [1, 0]])
  equal(await reading, null)
  await finish(store, again)
})

play("a session that was forgotten: what was sent ends as unknown", async played => {
  const errors = []
  const { store, connection } = await connected(played, { onError: error => errors.push(error.message) })
  const first = store.delete("a")
  connection.send(...done((await connection.next())[0]))
  await first
  const second = store.delete("a")
  const third = store.currentMeta("a")
  await connection.take(2)
  await connection.cut()
  const again = await played.accept()
  await again.hello({ through: 0 })
  const error = await refused(second, /forgotten the session/)
  equal([error.code, error.outcome], ["socket", "unknown"])
  const [read] = await again.next()
  again.send([read, 0, null, [1, 0]])
  equal(await third, null)
  await refused(store.flush(), /were lost with the power/)
  await store.flush()
  equal(errors.length, 1)
  await finish(store, again)
})

play("writes lost with the power are told", async played => {
  const { store, connection } = await connected(played, { durability: "committed", onError: () => undefined })
  const writes = [store.delete("a"), store.delete("b")]
  connection.send(...done(...(await connection.take(2)).map(([id]) => id)))
  await Promise.all(writes)
  await connection.cut()
  const again = await played.accept()
  await again.hello({ through: 2 })
  await until(() => store.status().failures === 1)
  await refused(store.flush(), /lost with the power/)
  await finish(store, again)
})

/* ---- answers that are none ---- */

play("503: a write gets a new id, and what must not overtake it goes with it", async played => {
  const { store, connection } = await connected(played)
  const results = [
    store.append("a", text("1")),
    store.append("b", text("1")),
    store.append("a", text("2")),
    store.currentMeta("a"),
    store.currentMeta("b"),
    collect(store.listDocIds()),
  ]
  const sent = await connection.take(6)
  connection.send([sent[0][0], 503, "stopping", 0], [sent[4][0], 0, null, [1, 0]])
  await results[4]
  // Nothing new goes out on this connection.
  results.push(store.append("c", text("1")), store.append("a", text("3")))
  await pause(20)
  equal(connection.requests, [])
  await connection.cut()
  const again = await played.accept()
  await again.hello({ through: 0 })
  const requests = await again.take(7)
  equal(asked(requests), ["1 b", "1 c", "1 a", "1 a", "5 a", "6 ", "1 a"])
  const ids = requests.map(([id]) => id)
  equal([...ids].sort((a, b) => a - b), ids)
  equal([ids[0] === sent[1][0], ids[2] > sent[5][0]], [true, true])
  for (const [id, op] of requests)
    again.send(op === APPEND ? done(id)[0] : op === CURRENT_META ? [id, 0, null, [1, 0]] : [id, 0, [], null])
  await Promise.all(results)
  await finish(store, again)
})

play("503 to a write that may have been done before: it keeps its id", async played => {
  const { store, connection } = await connected(played)
  const write = store.delete("a")
  const [[id]] = await connection.take(1)
  await connection.cut()
  const second = await played.accept()
  await second.hello({ through: id })
  await second.next()
  second.send(DRAINING_EVENT, [id, 503, "stopping", 0])
  await second.over
  const third = await played.accept()
  await third.hello({ through: id })
  equal((await third.next())[0], id)
  third.send([id, 0, [1, 0], true])
  await write
  await finish(store, third)
})

play("outcome unknown: the next daemon is asked, under the same id, and so are the reads behind it", async played => {
  const { store, connection } = await connected(played)
  const results = [store.append("a", text("1")), store.currentMeta("a"), store.currentMeta("b")]
  const sent = await connection.take(3)
  connection.send(
    [sent[0][0], 501, "fsync failed", 1],
    [sent[1][0], 0, null, [1, 0]],
    [sent[2][0], 0, JSON.stringify(META), [1, 1]],
  )
  equal(await results[2], META)
  await connection.over
  const again = await played.accept()
  await again.hello({ through: sent[0][0] })
  const requests = await again.take(2)
  equal(requests, sent.slice(0, 2))
  again.send([sent[0][0], 0, [1, 2], true], [sent[1][0], 0, JSON.stringify(META), [1, 2]])
  equal((await Promise.all(results))[1], META)
  await finish(store, again)
})

play("draining: what was sent is answered, what is new waits for the next connection", async played => {
  const { store, connection } = await connected(played)
  const first = store.delete("a")
  const read = store.currentMeta("x")
  const [[id], [readId]] = await connection.take(2)
  connection.send(DRAINING_EVENT, [readId, 0, null, [1, 0]])
  await read
  const second = store.delete("b")
  await pause(20)
  equal(connection.requests, [])
  connection.send(...done(id))
  await first
  await connection.over
  const again = await played.accept()
  await again.hello({ through: id })
  const request = await again.next()
  equal(asked([request]), ["4 b"])
  again.send(...done(request[0]))
  await second
  await finish(store, again)
})

/* ---- beginnings and ends ---- */

play("hello: busy, too many and draining are tried again", async played => {
  const opening = createDaemonStore({ path: played.socket, reconnect: FAST, onState: () => undefined })
  for (const code of [400, 404, 503]) {
    const connection = await played.accept()
    await connection.next()
    connection.send([1, code, "not now", null])
  }
  const connection = await played.accept()
  connection.send([0, 404, "too many"])
  const last = await played.accept()
  await last.hello()
  await finish(await opening, last)
})

play("hello: other refusals are final, and say why", async played => {
  for (const [code, name, detail] of [
    [401, "denied"],
    [504, "incompatible_format", "mixed-layouts"],
    [102, "no_common_version", 3],
  ]) {
    const opening = createDaemonStore({ path: played.socket, reconnect: FAST })
    const connection = await played.accept()
    await connection.next()
    connection.send([1, code, "because", null, ...(detail === undefined ? [] : [detail])])
    const error = await refused(opening, "because")
    equal([error.code, error.reason], [name, typeof detail === "string" ? detail : undefined])
  }
})

play("who is turned away at the door is told why, and does not come back", async played => {
  const opening = createDaemonStore({ path: played.socket, reconnect: FAST })
  const connection = await played.accept()
  connection.send([0, 401, "[access] lists neither this user nor any of its groups"])
  equal((await refused(opening, /^\[access\] lists neither/)).code, "denied")
})

play("refused when it comes back: calls reject, settled writes are told, nothing hangs", async played => {
  const errors = []
  const states = []
  const { store, connection } = await connected(played, {
    settle: "sent",
    onError: error => errors.push(error),
    onState: state => states.push(state),
  })
  store.delete("a")
  store.delete("b")
  const reading = store.currentMeta("a")
  const listing = collect(store.listDocIds())
  await connection.take(4)
  await connection.cut()
  const again = await played.accept()
  await again.next()
  again.send([1, 401, "not any more", null])
  for (const attempt of [reading, listing]) await refused(attempt, "not any more")
  await until(() => errors.length === 1)
  equal(errors[0].message, "2 writes were not answered: not any more")
  equal((await refused(store.append("a", meta()), /^the store is closed: not any more$/)).code, "closed")
  await refused(store.flush(), /2 writes were not answered/)
  await refused(store.flush(), "not any more")
  await refused(store.close(), "not any more")
  await store.close()
  equal(states, ["ready", "connecting", "closed"])
})

play("reconnect off: a lost connection is told", async played => {
  const { store, connection } = await connected(played, { reconnect: { enabled: false } })
  const write = store.delete("a")
  const read = store.currentMeta("a")
  await connection.take(2)
  await connection.cut()
  equal((await refused(write, /connection to .* was lost/)).outcome, "unknown")
  await refused(read, /connection to .* was lost/)
  await refused(store.close(), /was lost/)
})

play("reconnect.maxAttempts: then it is given up", async played => {
  const { store, connection } = await connected(played, { reconnect: { ...FAST, maxAttempts: 3 } })
  const read = store.currentMeta("a")
  await connection.next()
  played.server.close()
  await connection.cut()
  await refused(read, /cannot connect to/)
  equal(store.status().state, "closed")
  await refused(createDaemonStore({ path: played.socket, reconnect: { ...FAST, maxAttempts: 2 }, onState: () => undefined }), /cannot connect to/)
})

play("a daemon that is not there yet is waited for", async played => {
  played.server.close()
  const states = []
  const opening = createDaemonStore({ path: played.socket, reconnect: FAST, onState: (...state) => states.push(state) })
  await until(() => states.length >= 2)
  equal(states[0][0], "connecting")
  equal(/cannot connect to .*: ENOENT/.test(states[0][1].message), true)
  await played.listen()
  const connection = await played.accept()
  await connection.hello()
  await finish(await opening, connection)
})

test("a path that cannot be one is refused at once", async () => {
  await refused(createDaemonStore({ path: "/dev/null/socket" }), /cannot connect to \/dev\/null\/socket: ENOTDIR/)
})

play("close waits for every answer, over lost connections, and not for its own", async played => {
  const { store, connection } = await connected(played)
  const write = store.delete("a")
  const closing = store.close()
  const [[id]] = await connection.take(1)
  await pause(10)
  equal(connection.requests, [])
  await connection.cut()
  const again = await played.accept()
  await again.hello()
  await again.next()
  again.send(...done(id))
  await write
  equal((await again.next())[1], CLOSE)
  await again.cut()
  await closing
  equal(store.status().state, "closed")
})

play("close does not wait for a daemon that is away, if there is nothing to say", async played => {
  const { store, connection } = await connected(played)
  played.server.close()
  await connection.cut()
  await until(() => store.status().state === "connecting")
  await store.close()
})

play("flush waits for what was called before it, and for nothing later", async played => {
  const { store, connection } = await connected(played)
  await store.flush()
  const before = [store.delete("a"), store.delete("b")]
  const flushed = []
  const flushes = [1, 2].map(n => store.flush().then(() => flushed.push(n)))
  const after = store.delete("c")
  flushes.push(store.flush().then(() => flushed.push(3)))
  const requests = await connection.take(3)
  connection.send(...done(requests[2][0], requests[0][0]))
  await Promise.all([before[0], after])
  equal(flushed, [])
  connection.send(...done(requests[1][0]))
  await Promise.all(flushes)
  equal(flushed, [1, 2, 3])
  await finish(store, connection)
})

play("a peer that speaks something else ends the store", async played => {
  for (const answer of [
    Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n"),
    Buffer.from("0000000000", "hex"),
    Buffer.from("00000002c100", "hex"),
    Buffer.from("0000000393630000", "hex"),
  ]) {
    const { store, connection } = await connected(played, { onState: () => undefined })
    const read = store.currentMeta("a")
    await connection.next()
    connection.socket.write(answer)
    equal((await refused(read, /./)).code, "protocol")
    equal(store.status().state, "closed")
  }
})

play("replies may come in pieces, and have elements that are not known", async played => {
  const { store, connection } = await connected(played, {}, {})
  const reads = [store.currentMeta("a"), collect(store.loadAll("a"))]
  const [one, two] = await connection.take(2)
  const { frame } = await import("./wire.js")
  const all = Buffer.concat([
    frame([0, 77, "an event that nobody knows"]),
    frame([one[0], 0, JSON.stringify(META), [1, 1, 9], "more", [1]]),
    frame([two[0], 0, [[0, JSON.stringify(META), "x"], [1, 0, 1, "v", new Uint8Array([1]), null, 7]], [1, 2], null, { x: 1 }]),
  ])
  for (const byte of all) {
    connection.socket.write(Buffer.from([byte]))
    await pause(0)
  }
  equal(await Promise.all(reads), [META, [meta(), bytes(new Uint8Array([1]), "v", "entirety")]])
  await finish(store, connection)
})

/* ---- the queue's bound ---- */

play("past queueBytes calls wait, in order, reads too", async played => {
  const { store, connection } = await connected(played, { settle: "sent", queueBytes: 4000 })
  const settled = []
  const writes = Array.from({ length: 20 }, (_, i) => store.replace(`doc`, [meta({ schemaHash: "x".repeat(500) }), text(String(i))]).then(() => settled.push(i)))
  const first = await connection.next()
  connection.send([first[0], 0, null, [1, 0]])
  await until(() => settled.length > 0)
  const reading = store.currentMeta("doc")
  await pause(10)
  const few = settled.length
  equal(few < 10, true)
  equal(store.status().queuedBytes < 6000, true)
  const order = []
  for (;;) {
    const [id, op, , records] = await connection.next()
    if (op === CURRENT_META) {
      connection.send([id, 0, null, [1, 0]])
      break
    }
    order.push(Number(records[1][3]))
    connection.send(...done(id))
  }
  equal(order, Array.from({ length: 20 }, (_, i) => i))
  equal(await reading, null)
  await Promise.all(writes)
  await finish(store, connection)
})

await main()
