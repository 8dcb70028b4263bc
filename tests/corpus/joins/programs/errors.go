// The ways in which Go speaks of a panic. The first argument says which.
package main

import (
	"errors"
	"fmt"
	"os"
	"time"
)

type config struct{ lr *float64 }

func fail(list []int, at int) int { return list[at] }

func main() {
	fmt.Fprintln(os.Stderr, "before")
	switch os.Args[1] {
	case "index":
		fail([]int{1, 2, 3}, len(os.Args)+3)
	case "nil":
		var c *config
		fmt.Println(*c.lr)
	case "goroutine":
		go func() { panic(errors.New("worker failed")) }()
		time.Sleep(time.Second)
	case "again":
		defer func() { panic(fmt.Sprint("again: ", recover())) }()
		panic("first\nsecond line")
	case "deadlock":
		<-make(chan int)
	}
}
