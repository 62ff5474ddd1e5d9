package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"hash/crc64"
	"io"
	"os"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
)

// own are databases of the server itself. The real mongodump takes the users in admin along; here users are
// always made anew by who declares them.
var own = []string{"admin", "config", "local"}

func dump(given *arguments) (err error) {
	if !given.archive.given {
		return errors.New("the lab's stand-in writes an --archive only")
	}
	ctx := context.Background()
	client, err := given.connect(ctx)
	if err != nil {
		return err
	}
	all, err := collections(ctx, client, given)
	if err != nil {
		return err
	}
	var to io.WriteCloser = os.Stdout
	if given.archive.file != "" {
		if to, err = os.OpenFile(given.archive.file, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600); err != nil {
			return err
		}
	}
	var zip *gzip.Writer
	out := writer{bufio.NewWriter(to)}
	if given.gzip {
		zip = gzip.NewWriter(to)
		out = writer{bufio.NewWriter(zip)}
	}
	if err = write(ctx, client, given, out, all); err != nil {
		return err
	}
	if err = out.to.Flush(); err != nil {
		return err
	}
	if zip != nil {
		if err = zip.Close(); err != nil {
			return err
		}
	}
	return to.Close()
}

func collections(ctx context.Context, client *mongo.Client, given *arguments) ([]collection, error) {
	names := []string{given.db}
	if given.db == "" {
		found, err := client.ListDatabaseNames(ctx, bson.D{})
		if err != nil {
			return nil, err
		}
		names = slices.DeleteFunc(found, func(name string) bool { return slices.Contains(own, name) })
	}
	var all []collection
	for _, database := range names {
		inside, err := client.Database(database).ListCollectionNames(ctx, bson.D{})
		if err != nil {
			return nil, err
		}
		slices.Sort(inside)
		for _, name := range inside {
			if strings.HasPrefix(name, "system.") || (given.collection != "" && name != given.collection) {
				continue
			}
			cursor, err := client.Database(database).Collection(name).Indexes().List(ctx)
			if err != nil {
				return nil, err
			}
			indexes := []bson.D{}
			if err = cursor.All(ctx, &indexes); err != nil {
				return nil, err
			}
			metadata, err := bson.MarshalExtJSON(bson.D{
				{Key: "indexes", Value: indexes}, {Key: "collectionName", Value: name}, {Key: "type", Value: "collection"},
			}, true, false)
			if err != nil {
				return nil, err
			}
			all = append(all, collection{database, name, string(metadata), 0, "collection"})
		}
	}
	return all, nil
}

func write(ctx context.Context, client *mongo.Client, given *arguments, out writer, all []collection) error {
	if err := out.number(magic); err != nil {
		return err
	}
	if err := out.document(header{1, "0.1", "stand-in", "stand-in"}); err != nil {
		return err
	}
	for _, one := range all {
		if err := out.document(one); err != nil {
			return err
		}
	}
	if err := out.number(terminator); err != nil {
		return err
	}
	for _, one := range all {
		cursor, err := client.Database(one.Database).Collection(one.Name).Find(ctx, bson.D{})
		if err != nil {
			return err
		}
		if err = out.document(segment{one.Database, one.Name, false, 0}); err != nil {
			return err
		}
		sum, count := crc64.New(table), 0
		for cursor.Next(ctx) {
			if _, err = io.MultiWriter(out.to, sum).Write(cursor.Current); err != nil {
				return err
			}
			count++
		}
		if err = cursor.Err(); err != nil {
			return err
		}
		if err = out.number(terminator); err != nil {
			return err
		}
		if err = out.document(segment{one.Database, one.Name, true, int64(sum.Sum64())}); err != nil {
			return err
		}
		if err = out.number(terminator); err != nil {
			return err
		}
		given.say("done dumping %s.%s (%d documents)", one.Database, one.Name, count)
	}
	return nil
}
