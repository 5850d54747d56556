/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rules of a disk's queue, for spin: what overlap.c, merge.c and flush.c do,
 * without how.  Two clients send three WRITEs, of either of two neighbouring
 * blocks, with FUA or without, and two FLUSHes, at any time and in any order.
 * A WRITE goes to the driver at any time once it may, alone or with its
 * neighbour, and the driver completes what it has in any order.  One thing goes
 * wrong: a request fails, or the volatile cache loses a block, which the next
 * sync is told, once.  One client goes away.
 *
 * What must hold in every state:
 * durable   what a FLUSH covers, and what had FUA, is durable when it is answered;
 * once      a request ends once, and none is dropped that the driver had;
 * order     changes of one block are in the driver one at a time, in the order of arrival;
 * result    a WRITE that is answered with success has been done;
 * sticky    once a FLUSH or FUA has failed, none succeeds;
 * and in every run, with FLUSHes that never end (ENDLESS):
 * progress  every request ends.
 *
 * What is defined with MISTAKE_ breaks one of them; test_model.py tries each.
 */
#ifndef WRITES
#define WRITES 3
#endif
#define N (WRITES + 2)       /* requests: WRITEs, then FLUSHes */
#define LAST_WRITE (WRITES - 1)
#define LAST (N - 1)
#define client_of(r) ((r) == LAST_WRITE || (r) == LAST)
#define any_write(what) (what(0) || what(1) || what(LAST_WRITE))
#define is_ready(r) (state[r] == ready)
#define is_waiting(r) (state[r] == waiting)
#define is_submitted(r) with_driver[r]
#define is_flush(r) ((r) >= WRITES)
#define is_sync(r) (is_flush(r) || fua[r])
#define sends_fua(r) (fua[r] && !plain[r])

mtype = { unsent, blocked, waiting, ready, submitted, back, sharing, ended };
mtype = { none, later, next, running };

/* Requests. */
mtype state[N] = unsent;
bool fua[WRITES], plain[WRITES];     /* it came with FUA; it goes to the driver without */
bool with_driver[WRITES];            /* until that completes it */
bool started[WRITES], alone[WRITES]; /* the driver has had it; it isn't merged any more */
bool failed[N];                      /* while it waits for its group: how it went */
byte block[WRITES];
byte version[WRITES];                /* changes are numbered as they come */
byte leader[WRITES];                 /* of those that went to the driver together... */
bool merged[WRITES];                 /* ...if it isn't alone there */
byte seen[2 * N];                    /* FLUSH: the newest version of each block that was answered before it came */
bool gone[2];

/* The running group. */
bool group, group_failed;
byte members;                        /* that aren't back */
mtype sync = none;                   /* LATER: when the changes are back; NEXT: to be submitted; RUNNING */
bool disk_failed;

/* The disk. */
byte versions;
byte cache[2], media[2];             /* each block's version now, and after a loss of power */
byte lost[2], cover[2];              /* what won't be written back any more; what the running sync writes back */
byte answered[2];
bool wrong, unreported;              /* the one thing has gone wrong; no sync was told yet */

bool durable = true, once = true, order = true, result = true, sticky = true;

byte i, j, k, changes;               /* inside an event */
bool flag, error;

/* Sets FLAG: whether no earlier change of R's block is still there. */
inline may_enter(r)
{
	flag = true;
	for (j : 0 .. WRITES - 1) {
		if
		:: j != r && block[j] == block[r] && version[j] < version[r] && state[j] != unsent && state[j] != ended ->
			flag = false
		:: else
		fi
	}
#ifdef MISTAKE_OVERTAKES
	flag = true
#endif
}

inline enter(r)
{
	if
	:: is_sync(r) -> state[r] = waiting
	:: else -> state[r] = ready
	fi
}

/* What is over makes no difference any more. */
inline forget(r)
{
	state[r] = ended;
	failed[r] = false;
	seen[2 * r] = 0;
	seen[2 * r + 1] = 0;
	if
	:: !is_flush(r) ->
		fua[r] = false;
		plain[r] = false;
		started[r] = false;
		alone[r] = false;
		merged[r] = false;
		leader[r] = 0;
		block[r] = 0;
		version[r] = 0
	:: else
	fi
}

inline finish(r, e)
{
	once = once && state[r] != ended;
	assert(once);
	if
	:: e
	:: !e && is_flush(r) ->
		durable = media[0] >= seen[2 * r] && media[1] >= seen[2 * r + 1];
		sticky = !disk_failed
	:: !e && !is_flush(r) ->
		result = cache[block[r]] == version[r];
		durable = !fua[r] || media[block[r]] >= version[r];
		sticky = !fua[r] || !disk_failed;
		answered[block[r]] = version[r]
	fi;
	assert(result);
	assert(durable);
	assert(sticky);
	forget(r)
}

/* Something has ended: who waited for it goes on.  The end of every event. */
inline wake()
{
#ifndef MISTAKE_SLEEPS
	for (i : 0 .. WRITES - 1) {
		if
		:: state[i] == blocked ->
			may_enter(i);
			if
			:: flag -> enter(i)
			:: else
			fi
		:: else
		fi
	}
#endif
	i = 0; j = 0; k = 0; changes = 0; flag = false; error = false
}

/* One member of the group is none any more; behind the last one comes the sync, or the answers. */
inline member_gone()
{
	members--;
	if
	:: members == 0 && sync == later && !group_failed ->
		sync = next;
		members = 1
	:: members == 0 && (sync != later || group_failed) ->
		for (i : 0 .. N - 1) {
			if
#ifdef MISTAKE_ANSWERS_EACH
			:: state[i] == back || state[i] == sharing -> finish(i, failed[i])
#else
			:: state[i] == back || state[i] == sharing -> finish(i, group_failed)
#endif
			:: else
			fi
		}
		sync = none;
		group = false;
		group_failed = false
	:: else
	fi
}

inline group_fails()
{
	group_failed = true;
	disk_failed = true
}

inline start_group()
{
	for (i : 0 .. N - 1) {
		if
		:: state[i] == waiting && is_flush(i) ->
			state[i] = sharing;
			failed[i] = false;
			flag = true
		:: state[i] == waiting && !is_flush(i) -> changes++
		:: else
		fi
	}
#ifdef MISTAKE_STARVES
	changes = (flag -> 0 : changes);
#endif
	for (i : 0 .. WRITES - 1) {
		if
		:: state[i] == waiting && changes > 0 ->
			plain[i] = changes > 1;
			state[i] = ready
		:: else
		fi
	}
	members = changes;
	group = true;
	if
	:: changes > 1 -> sync = later
	:: changes <= 1 && flag -> sync = next; members++
	:: else
	fi
#ifdef MISTAKE_SYNCS_BESIDE
	if
	:: sync == later -> sync = next; members++
	:: else
	fi
#endif
}

inline send(r)
{
	if
	:: is_flush(r) ->
		seen[2 * r] = answered[0];
		seen[2 * r + 1] = answered[1];
		state[r] = waiting;
#ifdef MISTAKE_JOINS
		if
		:: sync == running -> state[r] = sharing
		:: else
		fi
#endif
	:: else ->
		/* The blocks are alike, and so are a client's WRITEs. */
		if
		:: block[r] = 0
		:: versions > 0 -> block[r] = 1
		fi;
		if
		:: fua[r] = true
		:: fua[r] = false
		fi;
		versions++;
		version[r] = versions;
		state[r] = blocked
	fi;
	wake()
}

proctype client(bit c)
{
end:	do
	:: atomic { state[0] == unsent && client_of(0) == c && !gone[c] -> send(0) }
	:: atomic { state[1] == unsent && client_of(1) == c && !gone[c] && state[0] != unsent -> send(1) }
	:: atomic { state[LAST_WRITE] == unsent && client_of(LAST_WRITE) == c && !gone[c] -> send(LAST_WRITE) }
	:: atomic { state[WRITES] == unsent && client_of(WRITES) == c && !gone[c] -> send(WRITES) }
	od
}

/* A thread of client 1's. */
proctype flusher()
{
end:	do
	:: atomic { state[LAST] == unsent && !gone[1] -> send(LAST) }
#ifdef ENDLESS
	:: atomic { state[LAST] == ended && !gone[1] -> state[LAST] = unsent }
#endif
	od
}

/* One of the clients goes, or none; what it has sent and the driver hasn't seen is dropped. */
proctype goodbye()
{
	if
	:: skip
	:: atomic {
		select(k : 0 .. 1);
		gone[k] = true;
		flag = k;
		for (k : 0 .. N - 1) {
			if
			:: client_of(k) != flag -> skip
			:: client_of(k) == flag && (state[k] == unsent || state[k] == blocked || state[k] == waiting) -> forget(k)
			:: client_of(k) == flag && state[k] == ready && !alone[k] ->
				once = once && !started[k];
				assert(once);
				error = is_sync(k);
				forget(k);
				if
				:: error -> member_gone()
				:: else
				fi
#ifdef MISTAKE_DROPS_STARTED
			:: client_of(k) == flag && state[k] == submitted -> forget(k)
#endif
			:: else
			fi
		}
		wake()
	}
	fi
}

/* Whether A and B, that wait for their turn, may go as one. */
#define alike(a, b) (a != b && state[b] == ready && block[a] != block[b] && is_sync(a) == is_sync(b) && \
		     sends_fua(a) == sends_fua(b) && !alone[a] && !alone[b])

inline submit(r, first, company)
{
	for (j : 0 .. WRITES - 1) {
		order = order && (j == r || block[j] != block[r] ||
				  (!with_driver[j] && (version[j] > version[r] || state[j] == unsent || state[j] == ended)))
	}
	assert(order);
	state[r] = submitted;
	with_driver[r] = true;
	started[r] = true;
	leader[r] = first;
	merged[r] = company
}

/* What may go goes, in any order. */
proctype elevator()
{
end:	do
	:: atomic {
		any_write(is_ready) ->
		if
		:: state[0] == ready -> k = 0
		:: state[1] == ready -> k = 1
		:: state[LAST_WRITE] == ready -> k = LAST_WRITE
		fi;
		if
		:: alike(k, 0) -> submit(0, k, true); flag = true
		:: alike(k, 1) -> submit(1, k, true); flag = true
		:: alike(k, LAST_WRITE) -> submit(LAST_WRITE, k, true); flag = true
		:: skip
		fi;
		submit(k, k, flag);
		wake()
	}
	od
}

proctype groups()
{
end:	do
	:: atomic {
		!group && (any_write(is_waiting) || is_waiting(WRITES) || is_waiting(LAST)) ->
#ifndef MISTAKE_FORGETS
		if
		:: disk_failed ->
			for (i : 0 .. N - 1) {
				if
				:: state[i] == waiting -> finish(i, true)
				:: else
				fi
			}
		:: else -> start_group()
		fi;
#else
		start_group();
#endif
		wake()
	}
	:: atomic {
		sync == next ->
		cover[0] = cache[0];
		cover[1] = cache[1];
		sync = running
	}
	od
}

/* Sets ERROR: the driver's answer to a sync, or to something with FUA. */
inline report()
{
	if
	:: unreported ->
		unreported = false;
		error = true
	:: else
	fi
}

inline write_back(b, v)
{
	if
	:: v > lost[b] && v > media[b] -> media[b] = v
	:: else
	fi
}

inline change_back(r)
{
	with_driver[r] = false;
	if
	:: !error -> cache[block[r]] = version[r]
	:: error -> cache[block[r]] = version[r]
	:: error
	fi;
	if
	:: !error && sends_fua(r) -> write_back(block[r], version[r])
	:: else
	fi;
	if
#ifdef MISTAKE_PASSES
	:: error && merged[r] && !is_sync(r) -> finish(r, false)
#else
	:: error && merged[r] && !is_sync(r) ->
		state[r] = ready;
		alone[r] = true
#endif
#ifdef MISTAKE_ANSWERS_EARLY
	:: !error && is_sync(r) ->
		finish(r, false);
		member_gone()
#endif
	:: else ->
		if
		:: is_sync(r) ->
			failed[r] = error;
			state[r] = back;
			if
			:: error -> group_fails()
			:: else
			fi;
			member_gone()
		:: else -> finish(r, error)
		fi
	fi
}

/* The driver completes changes, in any order. */
proctype changer()
{
end:	do
	:: atomic {
		any_write(is_submitted) ->
		if
		:: with_driver[0] -> changes = leader[0]
		:: with_driver[1] -> changes = leader[1]
		:: with_driver[LAST_WRITE] -> changes = leader[LAST_WRITE]
		fi;
		if
		:: !wrong ->
			wrong = true;
			error = true
		:: true
		fi;
		if
		:: !error && sends_fua(changes) -> report()
		:: else
		fi;
		for (k : 0 .. WRITES - 1) {
			if
			:: with_driver[k] && leader[k] == changes -> change_back(k)
			:: else
			fi
		}
		wake()
	}
	od
}

/* It completes syncs, too. */
proctype syncer()
{
end:	do
	:: atomic {
		sync == running ->
		if
		:: !wrong ->
			wrong = true;
			error = true
		:: true -> report()
		fi;
		for (k : 0 .. 1) {
			if
			:: !error -> write_back(k, cover[k])
			:: error && cover[k] > media[k] -> lost[k] = cover[k]
			:: else
			fi
		}
		sync = none;
		if
		:: error -> group_fails()
		:: else
		fi;
		member_gone();
		wake()
	}
	od
}

/* The cache fails to write a block back, while nobody syncs. */
proctype loser()
{
end:	do
	:: atomic {
		!wrong && (cache[0] > media[0] || cache[1] > media[1]) ->
		if
		:: cache[0] > media[0] -> lost[0] = cache[0]
		:: cache[1] > media[1] -> lost[1] = cache[1]
		fi;
		wrong = true;
		unreported = true
	}
	od
}

init {
	atomic {
		run client(0);
		run client(1);
		run flusher();
		run goodbye();
		run elevator();
		run groups();
		run changer();
		run syncer();
		run loser()
	}
}

#ifdef ENDLESS
ltl progress { <> (state[0] == ended && state[1] == ended && state[LAST_WRITE] == ended && state[WRITES] == ended) }
#endif
