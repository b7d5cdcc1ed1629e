/* make_tiny.c - write the small model of tests/support/tiny.h into the folder named by the only
 * argument. */
#include "tests/support/tiny.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: make_tiny DIR\n");
        return 2;
    }
    tiny_write(argv[1]);
    return 0;
}
