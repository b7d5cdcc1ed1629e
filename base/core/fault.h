/* fault.h - tests only: make the n-th allocation or system call fail, or a disk that keeps other
 * bytes. */
#ifndef LORAC_BASE_CORE_FAULT_H
#define LORAC_BASE_CORE_FAULT_H

#include <stdbool.h>

/* Let the next `n` allocations succeed and fail the one after; <0 = never. */
void lorac_mem_fail_after(long n);
/* The same for those that other libraries make through lorac_mem_raw(), which do not count above.
 */
void lorac_raw_fail_after(long n);
/* The same for the calls in file.c and scratch.c that can fail: open, stat, map, write, fsync,
 * close, rename, ... */
void lorac_sys_fail_after(long n);
/* The same, with this errno (ENOSPC, EROFS, ...) instead of EIO. */
void lorac_sys_fail_with(long n, int code);
/* Is the call that comes next to fail? Then errno is set. Asked in front of each. */
bool lorac_sys_refused(void);
/* How many are still to succeed; <0: the failure has happened, or none was asked for. */
long lorac_mem_fail_left(void);
long lorac_raw_fail_left(void);
long lorac_sys_fail_left(void);
/* Of all bytes that are written from now on, flip a bit of the one at `offset`; <0 = of none. */
void lorac_sys_wrong_byte(long offset);

#endif
