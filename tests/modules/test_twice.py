# SPDX-License-Identifier: BSD-2-Clause
"""Requests that a driver completes twice: the second time is complained of, and does nothing."""

import pytest

from daemon import Daemon, wait_for
from modules_support import build, variant
from wire_client import CMD_READ, Wire, request

# Once more when the next one comes: the first has been answered by then, or is about to be.
BY_THE_NEXT = '''
static struct platter_request *before;
static void again(struct platter_request *request)
{
    platter_request_complete(request, 0);
    if (before) platter_request_complete(before, -EIO);
    before = before ? NULL : request;
}
'''
BY_A_TIMER = '''
static struct platter_timer timer;
static struct platter_request *before;
static void rang(struct platter_timer *timer) { platter_request_complete(before, -EIO); before = NULL; }
static void again(struct platter_request *request)
{
    if (!before) {
        before = request; timer.done = rang;
        platter_timer_start(request->disk, &timer, 1000000);
    }
    platter_request_complete(request, 0);
}
'''
# Several threads at almost the same moment, which submit waits for.
BY_THREADS = '''
#include <pthread.h>
static unsigned ready;
static void *work(void *request)
{
    __atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&ready, __ATOMIC_SEQ_CST) % 2) ;
    platter_request_complete(request, 0);
    return NULL;
}
static void again(struct platter_request *request)
{
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) if (pthread_create(&threads[i], NULL, work, request)) abort();
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
}
'''
# One on the reactor and one elsewhere.
BY_ANOTHER_THREAD = '''
#include <pthread.h>
static unsigned ready;
static void *work(void *request)
{
    __atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
    platter_request_complete(request, 0);
    return NULL;
}
static void again(struct platter_request *request)
{
    pthread_t thread;
    unsigned before = ready;
    if (pthread_create(&thread, NULL, work, request)) abort();
    while (__atomic_load_n(&ready, __ATOMIC_SEQ_CST) == before) ;
    platter_request_complete(request, 0);
    pthread_join(thread, NULL);
}
'''


@pytest.mark.parametrize("source", [BY_THE_NEXT, BY_A_TIMER, BY_THREADS, BY_ANOTHER_THREAD],
                         ids=["by the next", "by a timer", "by two threads", "by another thread"])
def test_every_request_is_answered_once(directory, source):
    with Daemon(directory, "a=ram:1M", options=["--threads", "1"]) as daemon:
        daemon.ctl("insmod", build(directory, "odd", variant("odd", "again(request);", source)))
        daemon.ctl("export", "add", "m=odd:1M")
        with Wire(daemon).go(b"m") as wire:
            for number in range(100):
                data = bytes([number % 251]) * 512
                assert wire.write(number * 1024, data) == 0
                # Two that are not neighbours, at once: each has its own answer, and no more.
                wire.send(request(CMD_READ, number * 1024, 512, cookie=2 * number)
                          + request(CMD_READ, (1000 - number) * 1024, 512, cookie=2 * number + 1))
                replies = [wire.reply(512) for _ in range(2)]
                assert sorted(cookie for _, cookie, _ in replies) == [2 * number, 2 * number + 1]
                assert all(error == 0 for error, _, _ in replies)
                assert next(read for _, cookie, read in replies if cookie == 2 * number) == data
            wire.disconnect()
        wait_for(lambda: "a driver has completed a request twice" in daemon.log(), "it is complained of")
        wait_for(lambda: daemon.ctl_json("lsmod")["modules"][0]["users"] == 0, "nothing is left")
        with Wire(daemon).go(b"a") as wire:
            assert wire.read(0, 512) == bytes(512)
            wire.disconnect()
        daemon.ctl("rmmod", "odd")
