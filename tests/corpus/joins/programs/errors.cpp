// The ways in which a C++ program is aborted. The first argument says which.
#include <cassert>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <thread>

__attribute__((noinline)) void smash(const char* text) {
    char small[8];
    strcpy(small, text);
    fprintf(stderr, "%c", small[0] == 'x' ? ' ' : '\n');
}

int main(int, char** arguments) {
    fprintf(stderr, "before\n");
    const char* which = arguments[1];
    if (!strcmp(which, "throw")) throw std::runtime_error("CUDA error: out of memory\nin kernel launch");
    if (!strcmp(which, "throw-int")) throw 7;
    if (!strcmp(which, "thread")) std::thread([] { }).joinable();
    if (!strcmp(which, "free")) { void* volatile p = malloc(100); void* q = p; free(p); free(q); }
    if (!strcmp(which, "free-invalid")) free((char*)arguments + 1);
    if (!strcmp(which, "smash")) smash("this is much longer than eight bytes");
    if (!strcmp(which, "assert")) assert(arguments == nullptr);
}
