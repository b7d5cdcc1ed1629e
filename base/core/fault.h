/* fault.h - tests only: make the n-th allocation or system call fail. */
#ifndef LORAC_BASE_CORE_FAULT_H
#define LORAC_BASE_CORE_FAULT_H

/* Let the next `n` allocations succeed and fail the one after; <0 = never. */
void lorac_mem_fail_after(long n);
/* The same for the calls in file.c that can fail: open, stat, map, write, fsync, close, rename, ... */
void lorac_sys_fail_after(long n);

#endif
