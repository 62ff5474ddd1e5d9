package main

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"go.mongodb.org/mongo-driver/bson"
)

// question is what a health check asks: ping or hello, perhaps only for the "ok" of the answer.
var question = regexp.MustCompile(
	`^\s*(?:quit\()?db\.(?:(?:adminCommand|runCommand)\(\s*(?:['"](ping|hello)['"]|\{\s*['"]?(ping|hello)['"]?\s*:\s*1\s*\})\s*\)|(hello)\(\))(\.ok)?(\s*(?:===?\s*1|\?\s*0\s*:\s*[12])\)?)?;?\s*$`)

// shell answers what a health check asks and runs no JavaScript.
func shell(given *arguments) error {
	found := question.FindStringSubmatch(given.eval)
	if found == nil {
		return fmt.Errorf("this stand-in for mongosh evaluates ping and hello only, not %q", given.eval)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	client, err := given.connect(ctx)
	if err != nil {
		return err
	}
	var answer bson.M
	command := found[1] + found[2] + found[3]
	if err := client.Database("admin").RunCommand(ctx, bson.D{{Key: command, Value: 1}}).Decode(&answer); err != nil {
		return err
	}
	if found[4] == ".ok" {
		fmt.Println(answer["ok"])
	} else {
		fmt.Printf("{ ok: %v }\n", answer["ok"])
	}
	return nil
}
