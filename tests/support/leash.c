/*
 * leash.c - runs a test so that nothing of it is left when it ends, however it ends: leash
 * COMMAND...
 *
 * ctest ends a test that has had its time with SIGKILL, and only the process that it started
 * itself: what that had started would run on, and its temporary files would stay. So this becomes
 * the test, as the first of a process group of its own, with a folder of its own as TMPDIR; a
 * second process waits for its end, then kills the group and removes the folder. If ctest goes, the
 * test goes.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static void watch(pid_t test, const char *dir)
{
    sigset_t all;
    int signal = 0;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    setsid();
    for (int fd = 0; fd < 3; fd++) {
        close(fd); // ctest waits until nobody writes any more
    }
    prctl(PR_SET_PDEATHSIG, SIGUSR1);
    while (getppid() == test && signal != SIGUSR1) {
        sigwait(&all, &signal);
    }
    kill(-test, SIGKILL);
    sigprocmask(SIG_UNBLOCK, &all, NULL);
    // what is killed may finish a file first
    execlp("sh", "sh", "-c", "for n in 1 2 3 4 5; do rm -rf \"$0\" && exit; sleep 1; done", dir,
           (char *)NULL);
    _exit(1);
}

int main(int argc, char **argv)
{
    char dir[] = "/tmp/lorac-test-XXXXXX";
    pid_t parent = getppid();
    pid_t test = getpid();
    if (argc < 2 || !mkdtemp(dir) || setenv("TMPDIR", dir, 1) != 0) {
        fprintf(stderr, "leash: %s\n", argc < 2 ? "no command" : strerror(errno));
        return 1;
    }
    setpgid(0, 0); // refused where it leads a group already
    pid_t watcher = fork();
    if (watcher == 0) { watch(test, dir); }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (watcher > 0 && getppid() == parent) { execvp(argv[1], argv + 1); }
    fprintf(stderr, "leash: cannot run %s: %s\n", argv[1], strerror(errno));
    return 1;
}
