"""A relay from a TCP port to a Unix socket, for clients that know TCP only: ``python -m bench.relay SOCKET PORT``."""

import asyncio
import contextlib
import sys
from pathlib import Path

BUFFER = 1 << 16


async def relay(socket: Path, port: int) -> asyncio.Server:
    """Listen on a loopback port and pass every connection on; the caller closes what is returned."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_unix_connection(socket)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))

    return await asyncio.start_server(connected, "127.0.0.1", port)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(BUFFER):
            writer.write(piece)
            await writer.drain()
    writer.close()


async def main() -> None:
    """Run until the process is told to end."""
    server = await relay(Path(sys.argv[1]), int(sys.argv[2]))
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(main())
