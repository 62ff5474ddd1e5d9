package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
)

const batch = 500

// restoring is one run: the documents that wait for their batch, and what was counted.
type restoring struct {
	ctx           context.Context
	client        *mongo.Client
	given         *arguments
	metadata      map[string]string
	waiting       map[string][]any
	written, lost int
}

func restore(given *arguments) error {
	if !given.archive.given {
		return errors.New("the lab's stand-in reads an --archive only")
	}
	var from io.Reader = os.Stdin
	if given.archive.file != "" {
		file, err := os.Open(given.archive.file)
		if err != nil {
			return err
		}
		defer file.Close()
		from = file
	}
	if given.gzip {
		unpacked, err := gzip.NewReader(from)
		if err != nil {
			return err
		}
		from = unpacked
	}
	in := reader{bufio.NewReader(from)}
	all, err := in.prelude()
	if err != nil {
		return err
	}
	ctx := context.Background()
	client, err := given.connect(ctx)
	if err != nil {
		return err
	}
	run := &restoring{ctx: ctx, client: client, given: given, metadata: map[string]string{}, waiting: map[string][]any{}}
	for _, one := range all {
		if !given.wanted(one.Database, one.Name) {
			continue
		}
		run.metadata[one.Database+"."+one.Name] = one.Metadata
		if given.drop && !given.dryRun {
			if err = client.Database(one.Database).Collection(one.Name).Drop(ctx); err != nil {
				return err
			}
		}
	}
	if err = in.body(run.take, run.done); err != nil {
		return err
	}
	given.say("%d document(s) restored successfully. %d document(s) failed to restore.", run.written, run.lost)
	return nil
}

// wanted says whether the options choose this collection.
func (a *arguments) wanted(database, name string) bool {
	if (a.db != "" && a.db != database) || (a.collection != "" && a.collection != name) {
		return false
	}
	match := func(patterns []string) bool {
		for _, pattern := range patterns {
			if found, _ := path.Match(pattern, database+"."+name); found {
				return true
			}
		}
		return false
	}
	return (len(a.include) == 0 || match(a.include)) && !match(a.exclude)
}

func (r *restoring) take(database, name string, document bson.Raw) error {
	key := database + "." + name
	if _, wanted := r.metadata[key]; !wanted || r.given.dryRun {
		return nil
	}
	r.waiting[key] = append(r.waiting[key], document)
	if len(r.waiting[key]) < batch {
		return nil
	}
	return r.insert(database, name)
}

func (r *restoring) insert(database, name string) error {
	key := database + "." + name
	documents := r.waiting[key]
	r.waiting[key] = nil
	if len(documents) == 0 {
		return nil
	}
	_, err := r.client.Database(database).Collection(name).InsertMany(r.ctx, documents, options.InsertMany().SetOrdered(false))
	var refused mongo.BulkWriteException
	if errors.As(err, &refused) && refused.WriteConcernError == nil && mongo.IsDuplicateKeyError(err) {
		for _, one := range refused.WriteErrors {
			r.given.say("continuing through error: %s", one.Message)
		}
		r.lost += len(refused.WriteErrors)
		r.written += len(documents) - len(refused.WriteErrors)
		return nil
	}
	if err == nil {
		r.written += len(documents)
	}
	return err
}

// done writes the rest of a collection and makes its indexes.
func (r *restoring) done(database, name string) error {
	metadata, wanted := r.metadata[database+"."+name]
	if !wanted || r.given.dryRun {
		return nil
	}
	if err := r.insert(database, name); err != nil {
		return err
	}
	var described struct {
		Indexes []bson.D `bson:"indexes"`
	}
	if err := bson.UnmarshalExtJSON([]byte(metadata), true, &described); err != nil {
		return err
	}
	indexes := bson.A{}
	for _, index := range described.Indexes {
		// The version of an index's format is the server's own, and FerretDB knows no such option.
		index = slices.DeleteFunc(index, func(option bson.E) bool { return option.Key == "v" || option.Key == "ns" })
		if index.Map()["name"] != "_id_" {
			indexes = append(indexes, index)
		}
	}
	if len(indexes) > 0 {
		command := bson.D{{Key: "createIndexes", Value: name}, {Key: "indexes", Value: indexes}}
		if err := r.client.Database(database).RunCommand(r.ctx, command).Err(); err != nil {
			return fmt.Errorf("indexes of %s.%s: %w", database, name, err)
		}
	}
	r.given.say("finished restoring %s.%s", database, name)
	return nil
}
