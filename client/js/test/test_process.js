/* What a store does to the process that has it. */
import { collect, Daemon, equal, main, meta, test } from "./harness.js"
import { start } from "./runtime.js"
import { PlayedDaemon } from "./wire.js"

test("a store that is idle does not keep the process; one with a write does until it is answered", async () => {
  await Daemon.run({}, async (daemon, open) => {
    for (const what of ["idle", "pending"]) {
      const host = start("exiting.js", daemon.socket, what)
      equal([await host.ended, host.stderr], [0, ""])
    }
    equal(await collect((await open()).listDocIds()), ["pending"])
  })
})

test("a process that exits while writes are queued says how many", async () => {
  await PlayedDaemon.run(async played => {
    const host = start("exiting.js", played.socket, "exit", "7")
    const connection = await played.accept()
    await connection.hello({ inFlight: 5 })
    equal(await host.ended, 0)
    equal(
      host.stderr,
      `kyneta-daemon-store: the process exits while 7 writes to ${played.socket} are queued without an answer (2 of them were never sent)\n`,
    )
  })
})

test("what was queued when the process exits is handed to the daemon", async () => {
  await Daemon.run({}, async (daemon, open) => {
    const store = await open()
    for (let i = 0; i < 100; i++) await store.append(`doc${i}`, meta())
    await store.flush()
    const host = start("exiting.js", daemon.socket, "exit", "100")
    equal(await host.ended, 0)
    equal(/while 100 writes to .* \(0 of them were never sent\)/.test(host.stderr), true)
    // The daemon carries out what it has received before it looks at what came later.
    while ((await collect(store.listDocIds())).length > 0);
  })
})

await main()
