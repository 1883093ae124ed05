/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Runs a program, and kills it with SIGKILL at its N-th system call that changes a file or a
 * connection.
 *
 *   stepper N PROGRAM ARGUMENT...
 *
 * It counts from the moment on that it gets SIGUSR1, over all threads. It dies as the call is
 * entered: that one is not done any more; a write is cut to its first half instead, and the kill
 * comes behind it. N = 0: none. SIGTERM is passed on. Ends as the program did, 137 where it was
 * killed; where it came to its end, the last line on standard error says how many calls there were:
 * "stepper: 123 calls".
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t armed;
static pid_t program;

static const long counted[] = {
    SYS_write,    SYS_pwrite64, SYS_writev,          SYS_pwritev,   SYS_fdatasync,
    SYS_fsync,    SYS_msync,    SYS_sync_file_range, SYS_renameat,  SYS_renameat2,
    SYS_linkat,   SYS_unlinkat, SYS_ftruncate,       SYS_fallocate, SYS_openat,
    SYS_close,    SYS_mkdirat,  SYS_fchmod,          SYS_fchmodat,  SYS_copy_file_range,
    SYS_sendfile, SYS_sendto,   SYS_sendmsg,         SYS_flock,
#ifdef SYS_open
    SYS_rename,   SYS_link,     SYS_unlink,          SYS_open,      SYS_creat,
    SYS_mkdir,    SYS_chmod,
#endif
};

static int
is_counted(long number)
{
	size_t i;

	for (i = 0; i < sizeof counted / sizeof *counted; i++)
		if (counted[i] == number)
			return 1;
	return 0;
}

static int
is_write(long number)
{
	return number == SYS_write || number == SYS_pwrite64;
}

static void
arm(int number)
{
	(void)number;
	armed = 1;
}

static void
pass_on(int number)
{
	kill(program, number);
}

/* Let a write have its first half alone. 0, or -1 where this machine's registers are not known
 * here. */
static int
halve(pid_t thread)
{
#ifdef __x86_64__
	struct user_regs_struct registers;

	if (ptrace(PTRACE_GETREGS, thread, NULL, &registers) != 0 || registers.rdx < 2)
		return -1;
	registers.rdx /= 2;
	return ptrace(PTRACE_SETREGS, thread, NULL, &registers) == 0 ? 0 : -1;
#else
	(void)thread;
	return -1;
#endif
}

static void
start(char **command)
{
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) {
		perror("stepper: ptrace");
		_exit(126);
	}
	(void)raise(SIGSTOP);
	(void)execvp(command[0], command);
	perror(command[0]);
	_exit(127);
}

struct steps {
	long last; /* where to kill; 0: nowhere */
	long count;
	pid_t cut; /* the thread in the write that was cut */
};

/* A thread has stopped at a system call, on its way in or out. */
static void
at_call(struct steps *steps, pid_t thread)
{
	struct __ptrace_syscall_info info;

	if (thread == steps->cut) {
		kill(program, SIGKILL);
		return;
	}
	if (!armed || ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof info, &info) <= 0 ||
	    info.op != PTRACE_SYSCALL_INFO_ENTRY || !is_counted((long)info.entry.nr))
		return;
	steps->count++;
	if (steps->count != steps->last)
		return;
	if (is_write((long)info.entry.nr) && halve(thread) == 0)
		steps->cut = thread;
	else
		kill(program, SIGKILL);
}

static int
watch(struct steps *steps)
{
	int status, number;
	pid_t thread;

	for (;;) {
		thread = waitpid(-1, &status, __WALL);
		if (thread < 0 && errno == EINTR)
			continue;
		if (thread < 0)
			return 1;
		if (WIFEXITED(status) || WIFSIGNALED(status)) {
			if (thread == program)
				return WIFEXITED(status) ? WEXITSTATUS(status)
							 : 128 + WTERMSIG(status);
			continue;
		}
		number = WSTOPSIG(status);
		if (number == (SIGTRAP | 0x80)) {
			at_call(steps, thread);
			number = 0;
		} else if (number == SIGTRAP || number == SIGSTOP) {
			number = 0; /* a new thread, an exec */
		}
		/* One that was killed meanwhile is not there any more. */
		(void)ptrace(PTRACE_SYSCALL, thread, NULL, number);
	}
}

int
main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = arm};
	struct steps steps = {0};
	int status;

	if (argc < 3) {
		fputs("usage: stepper N PROGRAM ARGUMENT...\n", stderr);
		return 2;
	}
	steps.last = strtol(argv[1], NULL, 10);
	program = fork();
	if (program < 0) {
		perror("stepper");
		return 1;
	}
	if (program == 0)
		start(argv + 2);
	(void)sigaction(SIGUSR1, &action, NULL);
	action.sa_handler = pass_on;
	(void)sigaction(SIGTERM, &action, NULL);
	if (waitpid(program, &status, 0) != program || !WIFSTOPPED(status) ||
	    ptrace(PTRACE_SETOPTIONS, program, NULL,
		   PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL) != 0) {
		perror("stepper: ptrace");
		return 126;
	}
	(void)ptrace(PTRACE_SYSCALL, program, NULL, 0);
	status = watch(&steps);
	if (status != 128 + SIGKILL)
		fprintf(stderr, "stepper: %ld calls\n", steps.count);
	return status;
}
