/* fault.c - system calls that fail because a test asks for it; see fault.h. */
#include "base/core/fault.h"

#include <errno.h>

static _Atomic long fail_after = -1;
static _Atomic int fail_errno = EIO;

void lorac_sys_fail_after(long n)
{
    lorac_sys_fail_with(n, EIO);
}

void lorac_sys_fail_with(long n, int code)
{
    fail_after = n;
    fail_errno = code;
}

long lorac_sys_fail_left(void)
{
    return fail_after;
}

bool lorac_sys_refused(void)
{
    if (fail_after < 0 || fail_after-- != 0) { return false; }
    errno = fail_errno;
    return true;
}
