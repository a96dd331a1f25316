import time

from util.runtime.timer import Clock


def test_waiting_and_computing_are_told_apart_per_image():
    clock = Clock()

    def slow_batches():
        for _ in range(3):
            time.sleep(0.02)
            yield 2                                 # images

    for images in clock.timed(slow_batches()):
        time.sleep(0.04)                            # the step
        clock.stop(images)
        time.sleep(0.05)                            # a save, which is neither
    times = clock.read()
    # A sleep may last longer than asked on a busy machine, never shorter; the save would add 0.025.
    assert 0.01 <= times.data < 0.02
    assert 0.02 <= times.compute < 0.04


def test_a_later_wait_for_the_device_counts_as_computing():
    clock = Clock()
    for _ in clock.timed([0]):
        clock.stop(images=4)
        clock.start()
        time.sleep(0.04)
        clock.stop()
    assert 0.01 <= clock.read().compute < 0.02


def test_reading_begins_anew_and_an_empty_interval_is_zero():
    clock = Clock()
    for _ in clock.timed([0]):
        time.sleep(0.01)
        clock.stop(images=1)
    clock.read()
    assert clock.read() == (0, 0)
