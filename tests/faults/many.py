"""Many small cases, as many at a time as there are processors."""

import concurrent.futures
import itertools
import os


def each(function, cases):
    """(case, function(case)) for each case, in order. They run in other processes; no more are begun than are asked for."""
    cases = iter(cases)
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count()) as pool:
        running = []
        try:
            while True:
                for case in itertools.islice(cases, 4 * os.cpu_count() - len(running)):
                    running.append((case, pool.submit(function, case)))
                if not running:
                    return
                case, result = running.pop(0)
                yield case, result.result()
        finally:
            for _, result in running:
                result.cancel()
