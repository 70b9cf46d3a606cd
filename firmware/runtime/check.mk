# make check: compiles the training step for this computer and runs its known-answer test.
CC     ?= cc
CFLAGS ?= -O2
STRICT  = -std=c99 -Wall -Wextra -Wpedantic -Wconversion -Werror
SOURCES = $(filter-out %_m4.c,$(wildcard cnn_*.c))

check: train_check
	./train_check

train_check: train_check.c $(SOURCES) $(wildcard *.h)
	$(CC) $(STRICT) $(CFLAGS) -DCNN_HOST -o $@ train_check.c $(SOURCES)

libcnn_train.so: $(SOURCES) $(wildcard *.h)
	$(CC) $(STRICT) $(CFLAGS) -DCNN_HOST -shared -fPIC -o $@ $(SOURCES)

.PHONY: check
