"""Tasks: functions run in processes of their own, and their results come back."""

import math

from beethoven import Exited, Ok, Stop, Task, await_many, yield_many


def factors(number: int) -> list[int]:
    for divisor in range(2, math.isqrt(number) + 1):
        if number % divisor == 0:
            return [divisor, *factors(number // divisor)]
    return [number]


def give_in() -> None:
    raise Stop("too hard")


def search() -> None:
    while True:
        math.gamma(17.5)


if __name__ == "__main__":
    tasks = [Task.async_(factors, number) for number in (1_000_003, 1_000_001, 999_999)]
    for found in await_many(tasks):
        print(" * ".join(map(str, found)))

    several = [Task.async_(factors, 42), Task.async_(give_in), Task.async_(search)]
    for task, result in yield_many(several, 2.0, on_timeout="kill_task"):
        match result:
            case Ok(value):
                print(f"{task.label}: {value}")
            case Exited(reason):
                print(f"{task.label}: {reason}")
            case None:
                print(f"{task.label}: killed, for it took too long")
