import time

from util.runtime.timer import Timer


def test_waiting_and_computing_are_told_apart_per_image():
    timer = Timer()

    def slow_batches():
        for _ in range(3):
            time.sleep(0.02)
            yield 2                                 # images

    for images in timer.timed(slow_batches()):
        time.sleep(0.04)                            # the step
        timer.stop(images)
        time.sleep(0.05)                            # a save, which is neither
    times = timer.read()
    # A sleep may last longer than asked on a busy machine, never shorter; the save would add 0.025.
    assert 0.01 <= times.data < 0.02
    assert 0.02 <= times.compute < 0.04


def test_a_later_wait_for_the_device_counts_as_computing():
    timer = Timer()
    for _ in timer.timed([0]):
        timer.stop(images=4)
        timer.start()
        time.sleep(0.04)
        timer.stop()
    assert 0.01 <= timer.read().compute < 0.02


def test_reading_begins_anew_and_an_empty_interval_is_zero():
    timer = Timer()
    for _ in timer.timed([0]):
        time.sleep(0.01)
        timer.stop(images=1)
    timer.read()
    assert timer.read() == (0, 0)
