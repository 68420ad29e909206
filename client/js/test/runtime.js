/* runtime: this runtime once more, as a process of its own. */
import { spawn } from "node:child_process"
import path from "node:path"
import process from "node:process"
import { fileURLToPath } from "node:url"
import { own } from "./harness.js"

const HERE = path.dirname(fileURLToPath(import.meta.url))

/** A program of this folder, run by the runtime that runs the test. */
export function start(program, ...words) {
  const run = "Deno" in globalThis ? ["run", "-A"] : []
  const child = spawn(process.execPath, [...run, path.join(HERE, program), ...words], {
    stdio: ["pipe", "pipe", "pipe"],
  })
  own(child)
  const process_ = { child, stdout: "", stderr: "", lines: [], waiting: /** @type {((line: string) => void)[]} */ ([]) }
  let rest = ""
  child.stdout.setEncoding("utf8")
  child.stderr.setEncoding("utf8")
  child.stdout.on("data", data => {
    process_.stdout += data
    const lines = (rest + data).split("\n")
    rest = /** @type {string} */ (lines.pop())
    for (const line of lines) {
      const waiter = process_.waiting.shift()
      if (waiter === undefined) process_.lines.push(line)
      else waiter(line)
    }
  })
  child.stderr.on("data", data => {
    process_.stderr += data
  })
  const ended = new Promise(resolve => child.on("close", (code, signal) => resolve(signal ?? code)))
  return Object.assign(process_, {
    ended,
    line: () => {
      const line = process_.lines.shift()
      if (line !== undefined) return Promise.resolve(line)
      return Promise.race([
        new Promise(resolve => process_.waiting.push(resolve)),
        ended.then(how => {
          throw new Error(`${program} ended with ${how}\n${process_.stderr}`)
        }),
      ])
    },
    kill: () => {
      if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) process.kill(child.pid, "SIGKILL")
    },
  })
}
