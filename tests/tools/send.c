/*
 * send.c - a client that says what it is told: standard input goes to a port of this machine as it
 * is, and what comes back, until the other side closes, to standard output.
 *
 * usage: send PORT [--slow MS] [--leave]
 *   --slow MS   byte by byte, with so many milliseconds between them
 *   --leave     go as soon as all is sent, without reading
 * Ends with 3 where nothing comes for 60 seconds.
 */
#define _DEFAULT_SOURCE // usleep
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SECONDS = 60 };

/* False where the other side takes no more. */
static bool send_all(int fd, const char *at, size_t n, size_t pause)
{
    for (size_t sent = 0; sent < n;) {
        ssize_t got = send(fd, at + sent, pause ? 1 : n - sent, MSG_NOSIGNAL);
        if (got <= 0) { return false; }
        sent += (size_t)got;
        if (pause) { (void)usleep((useconds_t)(pause * 1000)); }
    }
    return true;
}

int main(int argc, char **argv)
{
    static char block[1 << 16];
    size_t pause = 0;
    bool leave = false;
    for (int i = 2; i < argc; i++) {
        leave = leave || strcmp(argv[i], "--leave") == 0;
        if (strcmp(argv[i], "--slow") == 0 && i + 1 < argc) {
            pause = strtoul(argv[++i], NULL, 10);
        }
    }
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    to.sin_port = htons((uint16_t)(argc > 1 ? strtoul(argv[1], NULL, 10) : 0));
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&to, sizeof to) != 0) {
        perror("send");
        return 2;
    }
    bool takes = true;
    for (size_t n = fread(block, 1, sizeof block, stdin); n && takes;
         n = fread(block, 1, sizeof block, stdin)) {
        takes = send_all(fd, block, n, pause);
    }
    while (!leave) {
        struct pollfd at = {.fd = fd, .events = POLLIN};
        if (poll(&at, 1, SECONDS * 1000) != 1) { return 3; }
        ssize_t n = recv(fd, block, sizeof block, 0);
        if (n <= 0) { break; }
        if (fwrite(block, 1, (size_t)n, stdout) != (size_t)n) { return 2; }
    }
    (void)close(fd);
    return 0;
}
