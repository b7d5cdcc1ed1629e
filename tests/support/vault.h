/*
 * vault.h - a backend whose memory can be touched only from inside an operation.
 *
 * It computes what `ref` computes; its memory is one region that every operation opens when it
 * begins and closes (mprotect) when it returns. Code that dereferences a tensor outside
 * base/compute/ dies there with SIGSEGV instead of working by accident on the one kind of device
 * where host and device memory are the same. A weight is uploaded when it is opened, as a graphics
 * card would do, and its handle lies in the vault, too.
 */
#ifndef LORAC_TESTS_VAULT_H
#define LORAC_TESTS_VAULT_H

#include "base/compute/device.h"

extern const struct lorac_backend lorac_backend_vault; // "vault"; not in device.c's list

/* Opens a vault with room for `bytes`, which only close gives back (released memory is not reused);
 * alloc and weight_open return NULL beyond. Fails the test where the system has no such memory. */
void vault_open(struct lorac_device *dev, size_t bytes);

#endif
