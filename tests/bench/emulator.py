"""The emulated board, against unicorn alone on the same program."""

from __future__ import annotations

from .figures import Figure, best


def figures() -> list[Figure]:
    """None without unicorn or a compiler."""
    import pytest

    try:
        pytest.importorskip("unicorn")
        from firmware.board import Board
        from tests.firmware.arm import program

        elf = program("speed", "-DROUNDS=300")
    except pytest.skip.Exception:
        return []
    Board(elf).run(instructions=100_000)  # compiles the hooks
    boards = [Board(elf) for _ in range(3)]
    counted = best(lambda: boards.pop().run(), 3)
    board = Board(elf)
    end = board.run().pc
    bare = best(lambda: bare_unicorn(board, end), 3)
    nanoseconds = counted / board.cpu.instructions * 1e9
    return [
        Figure("an emulated instruction", nanoseconds, "ns", 20.0),
        Figure("emulated board / unicorn alone", counted / bare, "times"),
    ]


def bare_unicorn(board, end: int) -> None:
    """The board's program in unicorn as it comes, up to an address."""
    from firmware.board.cpu import REGISTERS, new_engine
    from firmware.memories import MEMORIES

    engine = new_engine()
    for _, base, size in MEMORIES:
        engine.mem_map(base, size)
    engine.mmio_map(0x40000000, 0x100000, lambda *_: 0, None, lambda *_: None, None)
    for segment in board.image.segments:
        engine.mem_write(segment.address, segment.data)
    first = bytes(engine.mem_read(0x10000000, 8))
    stack, reset = (int.from_bytes(first[n : n + 4], "little") for n in (0, 4))
    engine.reg_write(REGISTERS["sp"], stack)
    engine.emu_start(reset, end)
