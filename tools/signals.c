/* signals.c - a signal asks to stop, what the program does ends at the next good place, and its
 * exit code is the one that shells expect; see verbs.h. */
#define _DEFAULT_SOURCE // sigaction
#include "tools/verbs.h"

#include <signal.h>

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    stop = number;
}

void stop_on_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    struct sigaction was;
    bool kept =
        sigaction(SIGHUP, NULL, &was) == 0 && was.sa_handler == SIG_IGN; // nohup: it is to go on
    if (!kept) { sigaction(SIGHUP, &action, NULL); }                     // the terminal has gone
}

bool stop_asked(void)
{
    return stop != 0;
}

int stop_code(void)
{
    return EXIT_SIGNAL + (int)stop;
}

bool stop_forget(void)
{
    if (stop != SIGINT) { return false; }
    stop = 0;
    stop_on_signals();
    return true;
}
