/* echo: a process that says back what it hears on a Unix socket: `node echo.js SOCKET`. bench.js starts it. */
import net from "node:net"
import process from "node:process"

net.createServer(socket => socket.on("data", data => socket.write(data))).listen(process.argv[2], () => console.log("listening"))
