/* The promises of PROTOCOL.md about pages and cursors, kept against a daemon that the test plays. */
import { Buffer } from "node:buffer"
import { collect, equal, main, META, pause, refused } from "./harness.js"
import { LOAD_ALL, connected, play, finish } from "./played.js"

const page = (id, records, cursor) => [id, 0, records, [1, 9], cursor === undefined ? null : Buffer.from(cursor)]
const since = version => [1, 1, 0, version, ""]
const whole = version => [1, 0, 0, version, ""]

/** A stream that has handed out one record of its first page, which was as large as a load holds back. */
async function begun(played) {
  const { store, connection } = await connected(played)
  const stream = store.loadAll("a")
  const first = stream.next()
  const [id, op, doc, cursor] = await connection.next()
  equal([op, doc, cursor], [LOAD_ALL, "a", null])
  connection.send(page(id, [since("x".repeat(8 << 20)), since("1"), since("2")], "c1"))
  equal((await first).value.version.length, 8 << 20)
  return { store, connection, stream, next: await connection.next() }
}

async function restVersions(stream) {
  return (await collect(stream)).map(record => record.version)
}

play("one page ahead, and no more if the consumer stops", async played => {
  const { store, connection, stream, next } = await begun(played)
  equal([next[1], Buffer.from(next[3]).toString()], [LOAD_ALL, "c1"])
  connection.send(page(next[0], [since("3"), since("4")], "c2"))
  equal((await stream.next()).value.version, "1")
  await pause(20)
  equal(connection.requests, [])
  equal((await stream.next()).value.version, "2")
  // The page that was ahead is the current one now.
  const third = await connection.next()
  equal(Buffer.from(third[3]).toString(), "c2")
  equal((await stream.return()).done, true)
  connection.send(page(third[0], [since("5")], "c3"))
  equal(await stream.next(), { value: undefined, done: true })
  await pause(20)
  equal(connection.requests, [])
  await finish(store, connection)
})

play("nothing beyond the first page before anybody reads", async played => {
  const { store, connection } = await connected(played)
  const streams = [store.loadAll("a"), store.listDocIds("b")]
  const [load, list] = await connection.take(2)
  connection.send(page(load[0], [since("1")], "c1"), [list[0], 0, ["b1"], Buffer.from("c2")])
  await pause(20)
  equal(connection.requests, [])
  const rest = Promise.all(streams.map(stream => collect(stream)))
  for (const request of await connection.take(2))
    connection.send(request[1] === LOAD_ALL ? page(request[0], [since("2")]) : [request[0], 0, ["b2"], null])
  equal((await rest)[1], ["b1", "b2"])
  await finish(store, connection)
})

play("a lost connection costs a stream nothing: it goes on from its cursor", async played => {
  const { connection, stream, next, store } = await begun(played)
  await connection.cut()
  const again = await played.accept()
  await again.hello()
  equal(await again.next(), next)
  const rest = restVersions(stream)
  again.send(page(next[0], [since("3")]))
  equal(await rest, ["1", "2", "3"])
  await finish(store, again)
})

play("changed, before anything was handed out: read again, unnoticed", async played => {
  const { store, connection } = await connected(played)
  const reading = restVersions(store.loadAll("a"))
  const one = await connection.next()
  connection.send(page(one[0], [since("old")], "c1"))
  const two = await connection.next()
  connection.send([two[0], 301, "changed", null])
  const three = await connection.next()
  equal(three[3], null)
  connection.send(page(three[0], [since("new")]))
  equal(await reading, ["new"])
  equal(store.status().restarts, 1)
  await finish(store, connection)
})

play("changed, later: the new stream follows, if it holds an entirety", async played => {
  const { store, connection, stream, next } = await begun(played)
  const rest = restVersions(stream)
  connection.send([next[0], 301, "changed", null])
  const again = await connection.next()
  equal(again[3], null)
  connection.send(page(again[0], [since("n1"), since("n2")], "d1"))
  const after = await connection.next()
  connection.send(page(after[0], [whole("n3"), since("n4")]))
  equal(await rest, ["1", "2", "n1", "n2", "n3", "n4"])
  await finish(store, connection)
})

play("changed, later, and no entirety: the read fails, and never just ends", async played => {
  for (const records of [[], [since("n1"), [0, JSON.stringify(META)]]]) {
    const { store, connection, stream, next } = await begun(played)
    const rest = restVersions(stream)
    connection.send([next[0], 301, "changed", null])
    const again = await connection.next()
    connection.send(page(again[0], records))
    equal((await refused(rest, /was replaced or deleted while it was loaded/)).code, "restarted")
    await finish(store, connection)
  }
})

play("a read that fails says so, after what it had", async played => {
  const { store, connection, stream, next } = await begun(played)
  connection.send([next[0], 502, "damaged", null])
  equal((await stream.next()).value.version, "1")
  equal((await stream.next()).value.version, "2")
  equal((await refused(stream.next(), "damaged")).code, "corrupt")
  equal(await stream.next(), { value: undefined, done: true })
  const early = restVersions(store.loadAll("b"))
  const [id] = await connection.next()
  connection.send(page(id, [since("1")], "c1"))
  connection.send([(await connection.next())[0], 502, "damaged", null])
  await refused(early, "damaged")
  await finish(store, connection)
})

play("several nexts at once are answered in order", async played => {
  const { connection, stream, next, store } = await begun(played)
  const results = [stream.next(), stream.next(), stream.next(), stream.next(), stream.next()]
  connection.send(page(next[0], [since("3")]))
  equal((await Promise.all(results)).map(({ value, done: isDone }) => (isDone ? "done" : value.version)), ["1", "2", "3", "done", "done"])
  await finish(store, connection)
})

await main()
