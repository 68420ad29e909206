/* The daemon is killed twenty times while four hosts work: nothing rejects, everything is there once, in order. */
import { Daemon, equal, main, random, testBoth, pause } from "./harness.js"
import { start } from "./runtime.js"

const KILLS = 20
const HOSTS = 4

testBoth(`${KILLS} kills under ${HOSTS} hosts`, settle =>
  Daemon.run({}, async (daemon, open) => {
    const dice = random(1)
    const hosts = Array.from({ length: HOSTS }, (_, i) => start("host.js", daemon.socket, String(i), settle))
    try {
      for (let kill = 0; kill < KILLS; kill++) {
        const working = hosts.map(host => {
          host.child.stdin.write(`${5 + dice.below(20)}\n`)
          return host.line()
        })
        // Somewhere in their work. Half of the kills are of a stopped daemon, with all that was sent before it.
        await pause(dice.below(12))
        if (dice.chance(0.5)) {
          daemon.signal("SIGSTOP")
          await pause(5)
        }
        await daemon.kill()
        await daemon.start()
        await Promise.all(working)
      }
      const results = await Promise.all(
        hosts.map(async host => {
          host.child.stdin.end()
          const result = JSON.parse(await host.line())
          equal(await host.ended, 0)
          return result
        }),
      )
      equal(results.flatMap(result => result.failures), [])
      const store = await open()
      const entries = async id => {
        const found = []
        for await (const record of store.loadAll(id)) if (record.kind === "entry") found.push(record.version)
        return found
      }
      for (const { own } of results) for (const [id, versions] of own) equal(await entries(id), versions)
      const shared = await entries("shared")
      for (const [number, result] of results.entries())
        equal(
          shared.filter(version => version.startsWith(`${number}:`)),
          Array.from({ length: result.shared }, (_, i) => `${number}:${i}`),
        )
      equal(shared.length, results.reduce((sum, result) => sum + result.shared, 0))
      equal(results.every(result => result.status.connects > KILLS / 2), true)
      const resent = results.reduce((sum, result) => sum + result.status.resent, 0)
      const duplicates = results.reduce((sum, result) => sum + result.status.duplicates, 0)
      console.log(`# ${resent} requests sent again, ${duplicates} writes of them had been carried out`)
      equal(resent > 0, true)
    } finally {
      for (const host of hosts) host.kill()
    }
  }),
)

await main()
